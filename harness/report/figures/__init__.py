"""The figures and tables that a suite asks for: a function a kind, all from finished runs."""

from __future__ import annotations

from pathlib import Path

from harness.report.comparison import Comparison
from harness.report.figures.heatmap import draw_heatmap
from harness.report.figures.metrics import draw_metrics
from harness.report.figures.trend import draw_trend
from harness.report.records import Records
from harness.report.style import Drawing
from harness.suite.figures import Heatmap, Metrics, Table, Trend

__all__ = ["draw_requested", "requested_tables"]


def draw_requested(records: Records, comparison: Comparison, folder: Path) -> list[Drawing]:
    """Draw what the suite asks for into `folder`; a figure nobody has results for has no files."""
    drawings = []
    for figure in records.suite.requested_figures:
        match figure:
            case Heatmap():
                drawings.append(draw_heatmap(figure, records, comparison, folder))
            case Trend():
                drawings.append(draw_trend(figure, records, comparison, folder))
            case Metrics():
                drawings.append(draw_metrics(figure, records, comparison, folder))
    return drawings


def requested_tables(records: Records) -> list[Table]:
    """The tables among what the suite asks for."""
    return [figure for figure in records.suite.requested_figures if isinstance(figure, Table)]
