"""The figures and tables that a suite asks for: one module per kind, all from finished runs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from harness.report.layout import Grid
from harness.report.section import Section
from harness.report.sections.requested.heatmap import draw_heatmap
from harness.report.sections.requested.metrics import draw_metrics
from harness.report.sections.requested.tables import table_grids, table_numbers
from harness.report.sections.requested.trend import draw_trend
from harness.report.style import Drawing
from harness.suite.figures import Heatmap, Metrics, Table, Trend

LATENCY_NOTE = (
    "Amortised action latency: the median time of a policy's call over the actions in it, batched "
    "over seeds and episodes of an evaluation; a call for one action alone takes longer."
)


class Requested(Section):
    """What the suite file lists under `figures`."""

    def grids(self) -> list[Grid]:
        return [
            grid
            for table in self._wanted_tables()
            for grid in table_grids(table, self.records, self.comparison)
        ]

    def tables(self) -> dict[str, pd.DataFrame]:
        return {
            table.slug: table_numbers(table, self.records, self.comparison)
            for table in self._wanted_tables()
        }

    def drawings(self, folder: Path) -> list[Drawing]:
        """A figure nobody has results for has no files."""
        drawings = []
        for figure in self.records.suite.requested_figures:
            match figure:
                case Heatmap():
                    drawings.append(draw_heatmap(figure, self.records, self.comparison, folder))
                case Trend():
                    drawings.append(draw_trend(figure, self.records, self.comparison, folder))
                case Metrics():
                    drawings.append(draw_metrics(figure, self.records, self.comparison, folder))
        return drawings

    def notes(self) -> tuple[str, ...]:
        asked = [figure.model_dump() for figure in self.records.suite.requested_figures]
        numbers = [[f.get("x"), f.get("value"), *f.get("values", ())] for f in asked]
        return (LATENCY_NOTE,) if any("latency" in found for found in numbers) else ()

    def _wanted_tables(self) -> list[Table]:
        figures = self.records.suite.requested_figures
        return [figure for figure in figures if isinstance(figure, Table)]
