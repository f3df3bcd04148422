"""The figures and tables that a suite asks for: one module per kind, all from finished runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pandas as pd

from harness.report.comparison import Comparison
from harness.report.layout import Grid
from harness.report.records import Records
from harness.report.section import Section
from harness.report.sections.requested.heatmap import draw_heatmap
from harness.report.sections.requested.metrics import draw_metrics
from harness.report.sections.requested.quantities import (
    AMORTISED,
    DECISION,
    has_decisions,
    unknown_names,
)
from harness.report.sections.requested.tables import table_grids, table_numbers
from harness.report.sections.requested.trend import draw_trend
from harness.report.style import Drawing
from harness.suite.figures import Figure, Heatmap, Metrics, Table, Trend

DECISION_NOTE = (
    f"{DECISION}: one call of the trained policy for one observation, the median along an episode; "
    "seeds of a trial share it."
)
AMORTISED_NOTE = (
    f"{AMORTISED}: the median time of a policy's call over the actions in it, batched over seeds "
    "and episodes of an evaluation. It is no latency: a call for one action alone takes longer."
)


@dataclass(frozen=True)
class Requested(Section):
    """One of what the suite file lists under `figures`."""

    figure: Figure

    @classmethod
    def all_of(cls, records: Records, comparison: Comparison) -> list[Self]:
        return [cls(records, comparison, figure) for figure in records.suite.requested_figures]

    @property
    def subject(self) -> str:
        return f"'{self.figure.title}'"

    def grids(self) -> list[Grid]:
        if not isinstance(self.figure, Table):
            return []
        return table_grids(self.figure, self.records, self.comparison)

    def tables(self) -> dict[str, pd.DataFrame]:
        if not isinstance(self.figure, Table):
            return {}
        return {self.figure.slug: table_numbers(self.figure, self.records, self.comparison)}

    def drawings(self, folder: Path) -> list[Drawing]:
        """A figure nobody has results for has no files."""
        match self.figure:
            case Heatmap():
                return [draw_heatmap(self.figure, self.records, self.comparison, folder)]
            case Trend():
                return [draw_trend(self.figure, self.records, self.comparison, folder)]
            case Metrics():
                return [draw_metrics(self.figure, self.records, self.comparison, folder)]
            case _:
                return []

    def notes(self) -> tuple[str, ...]:
        asked = self.figure.model_dump()
        numbers = [asked.get("x"), asked.get("value"), *asked.get("values", ())]
        if "latency" not in numbers:
            return ()
        return (DECISION_NOTE if has_decisions(self.records) else AMORTISED_NOTE,)

    def mistakes(self) -> tuple[str, ...]:
        return tuple(unknown_names(self.figure, self.records))
