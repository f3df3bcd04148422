"""The comparison as a Rich renderable, for the end of a run."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text as RichText

from harness.report.build import Report
from harness.report.layout import Grid, Text
from harness.report.notes import SMOKE


def render_terminal(report: Report) -> RenderableType:
    """Tables that fit a terminal, the protocol under them, and what is to be mended."""
    notes, grids = report.notes, report.terminal
    warning = [RichText(SMOKE, style="bold red")] if notes.smoke else []
    tables = [part for grid in grids for part in (RichText(grid.title, style="bold"), _table(grid))]
    said = [
        notes.protocol,
        notes.action_selection,
        *notes.statistics[:1],  # what a cell is
        *notes.gate[1:],
        *notes.origins,
        *notes.data,
    ]
    below = [RichText(text, style="dim") for text in said if text]
    mistakes = [RichText(text, style="yellow") for text in notes.mistakes]
    failures = [RichText(text, style="red") for text in notes.failures]
    return Group(*warning, *tables, *below, *mistakes, *failures)


def _table(grid: Grid) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, column in enumerate(grid.columns):
        table.add_column(RichText(column), justify="right" if index else "left", no_wrap=not index)
    for row in grid.rows:
        table.add_row(RichText(row.name), *map(_styled, row.texts))
    return table


def _styled(text: Text) -> RichText:
    style = "red" if text.value == "failed" else "bold green" if text.bold else ""
    return RichText.assemble((text.value, style), (str(text).removeprefix(text.value), "dim"))
