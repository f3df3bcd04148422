"""A section of the report: one subject, in every form that the report has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pandas as pd

from harness.report.comparison import Comparison
from harness.report.layout import Grid
from harness.report.records import Records
from harness.report.style import Drawing


@dataclass(frozen=True)
class Card:
    """What the page shows beside a task: facts by name, a drawing, or why there is none."""

    facts: tuple[tuple[str, str], ...] = ()
    drawing: Drawing | None = None
    absent: str = ""


@dataclass(frozen=True)
class Section(ABC):
    """What a subject adds to the report of a suite: nothing, where it does not say otherwise.

    A section that cannot be made is left out by itself, so that what may fail alone is one.
    """

    records: Records
    comparison: Comparison

    @classmethod
    def all_of(cls, records: Records, comparison: Comparison) -> list[Self]:
        """The sections of this kind in a report: one, where it does not say otherwise."""
        return [cls(records, comparison)]

    @property
    @abstractmethod
    def subject(self) -> str:
        """What it is about, for the sentence that says that it failed."""

    def grids(self) -> list[Grid]:
        """Tables for readers."""
        return []

    def tables(self) -> dict[str, pd.DataFrame]:
        """Tables for programs, by the names of their CSV files."""
        return {}

    def drawings(self, folder: Path) -> list[Drawing]:
        """Figures, whose files are written into `folder`."""
        return []

    def cards(self, folder: Path) -> dict[str, Card]:
        """Cards by task id; their drawings are written into `folder`."""
        return {}

    def notes(self) -> tuple[str, ...]:
        """Sentences under every table."""
        return ()

    def mistakes(self) -> tuple[str, ...]:
        """What its user has to mend in the suite; under every table, and on terminals too."""
        return ()
