"""Grids of text, which every table format prints the same way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

MISSING = "–"
MAX_COLUMNS = 7  # of numbers, that fit a page


@dataclass(frozen=True)
class Text:
    """One entry of a grid: `value`, its `mark` (†), `spread` (after ±), and a `note` in words.

    `task` (an id) and `label` say which runs the number is of, for links; empty: of several.
    """

    value: str
    spread: str = ""
    note: str = ""
    bold: bool = False
    mark: str = ""
    task: str = ""
    label: str = ""

    def __str__(self) -> str:
        spread = f" ± {self.spread}" if self.spread else ""
        note = f" ({self.note})" if self.note else ""
        return f"{self.value}{self.mark}{spread}{note}"


@dataclass(frozen=True)
class GridRow:
    """One line of a grid; `summary` lines (averages) are set apart."""

    name: str
    texts: tuple[Text, ...]
    summary: bool = False

    def of(self, *, task: str = "", label: str = "") -> GridRow:
        """The same with all of its numbers of these runs."""
        return replace(self, texts=tuple(replace(t, task=task, label=label) for t in self.texts))


@dataclass(frozen=True)
class Grid:
    """One table: a title, the names of its columns (the first names the rows) and its rows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[GridRow, ...]


def points(value: float | None) -> str:
    """A number of points as tables print it."""
    return MISSING if value is None else f"{round(value, 1) + 0.0:.1f}"  # + 0.0: never "-0.0"


def split(names: Sequence[str], most: int = MAX_COLUMNS) -> list[tuple[str, ...]]:
    """The names in order, in as few parts of at most so many as there can be, of about one size."""
    size = math.ceil(len(names) / math.ceil(len(names) / most))
    return [tuple(names[start : start + size]) for start in range(0, len(names), size)]
