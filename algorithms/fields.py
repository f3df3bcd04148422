"""The kinds of numbers that settings are, each with the range that it may have. All are finite."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=1)]
Widths = Annotated[tuple[Count, ...], Field(min_length=1)]  # of hidden layers
LearningRate = Annotated[float, Field(gt=0, lt=1)]
PolyakRate = Annotated[float, Field(gt=0, le=1)]  # 1: no average, the network itself
Fraction = Annotated[float, Field(ge=0, le=1)]
Expectile = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]  # of the budget
ShareOrNone = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]  # of a term or a noise; 0 leaves it out
Positive = Annotated[float, Field(gt=0)]
Nats = Annotated[float, Field(ge=-1000, le=1000)]
