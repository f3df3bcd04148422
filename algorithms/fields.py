"""The kinds of numbers that settings are, each with the range that it may have. All are finite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field


@dataclass(frozen=True)
class Neutral:
    """Marks a setting, in `Annotated`, that changes nothing where it has this value.

    There it is left out of what is recorded and hashed, so that a setting that comes to a method
    later changes none of the runs that were made before.
    """

    value: Any


Count = Annotated[int, Field(ge=1)]
Several = Annotated[int, Field(ge=2)]
Widths = Annotated[tuple[Count, ...], Field(min_length=1)]  # of hidden layers
Channels = Annotated[
    tuple[Annotated[int, Field(ge=8, multiple_of=8)], ...], Field(min_length=1)
]  # at each resolution
LearningRate = Annotated[float, Field(gt=0, lt=1)]
PolyakRate = Annotated[float, Field(gt=0, le=1)]  # 1: no average, the network itself
Fraction = Annotated[float, Field(ge=0, le=1)]
Expectile = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]  # of the budget, of the data
ShareOrNone = Annotated[float, Field(ge=0, lt=1)]
Weight = Annotated[float, Field(ge=0)]  # of a term or a noise; 0 leaves it out
Positive = Annotated[float, Field(gt=0)]
Nats = Annotated[float, Field(ge=-1000, le=1000)]
Number = Annotated[float, Field(ge=-1e6, le=1e6)]
Discount = Annotated[float, Field(ge=0, lt=1)]  # where endless returns must be finite
Rate = Annotated[float, Field(ge=0, lt=1)]  # of dropout
RewardTransform = Literal["raw", "mean-return", "return-range", "standard"]
Precision = Literal["fp32", "mixed", "bf16"]  # of products; see `algorithms/engine/precision.py`
