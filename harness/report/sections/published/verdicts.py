"""All verdicts: a grid a task, and a figure with a panel a task, a dot and its interval a cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from harness.report.layout import MISSING, Grid, GridRow, Text, points
from harness.report.notes import SMOKE
from harness.report.origins import origin_mark
from harness.report.sections.published.reproduction import MARGIN, Reproduction, Verdict
from harness.report.style import legend_below, save, styled
from harness.runs.suite_file import SuiteFile

_COLOURS = {
    Verdict.REPRODUCED: "#009E73",
    Verdict.BETTER: "#0072B2",
    Verdict.WORSE: "#D55E00",
    Verdict.UNDECIDED: "#4D4D4D",
    Verdict.NOT_COMPARABLE: "#AAAAAA",
}
_COLUMNS = 3
_WIDEST = 60.0  # points; wider panels would squash what is near 0


def verdict_grids(suite: SuiteFile, found: Sequence[Reproduction]) -> list[Grid]:
    """A grid a task: rows of the suite by difference, interval and verdict."""
    grids = []
    for task in dict.fromkeys(cell.task for cell in found):
        rows = [_verdict_row(suite, cell) for cell in found if cell.task == task]
        columns = ("Algorithm", "Published", "Ours", "Difference", "95% interval", "Verdict")
        grids.append(Grid(f"Reported against reproduced: {task}", columns, tuple(rows)))
    return grids


def verdict_figure(found: Sequence[Reproduction], smoke: bool, folder: Path) -> list[Path]:
    """Write `verdicts.png|pdf`; differences in points, one scale for all panels."""
    tasks = list(dict.fromkeys(cell.task for cell in found))
    by_task = {task: [cell for cell in found if cell.task == task] for task in tasks}
    columns = min(_COLUMNS, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    tallest = [
        max(len(by_task[task]) for task in tasks[row * columns : (row + 1) * columns])
        for row in range(rows)
    ]
    with styled():
        height = sum(0.55 + 0.17 * count for count in tallest) + 0.55
        figure = Figure(figsize=(2.9 * columns + 0.2, height), layout="constrained")
        panels = figure.subplots(
            rows, columns, squeeze=False, sharex=True, height_ratios=[1.5 + n for n in tallest]
        ).ravel()
        reach = _reach(found)
        for axes, task in zip(panels, tasks, strict=False):
            _panel(axes, by_task[task], reach)
            axes.set_title(task)
        for index, axes in enumerate(panels):
            if index >= len(tasks):
                axes.remove()
            elif index + columns >= len(tasks):
                axes.set_xlabel("Ours minus published (points)")
                axes.tick_params(labelbottom=True)
        legend_below(figure, _legend(found))
        if smoke:
            figure.suptitle(SMOKE, color="#C00000", weight="bold")
        return save(figure, folder / "verdicts")


def _verdict_row(suite: SuiteFile, cell: Reproduction) -> GridRow:
    published, (low, high) = cell.published, cell.interval
    spread = points(published.spread) if published.spread is not None else ""
    seeds = len(cell.scores)
    sd = points(float(cell.scores.std(ddof=1))) if seeds > 1 else ""
    kind = "" if cell.is_point or published.spread_kind == "sd" else str(published.spread_kind)
    interval = f"[{low:+.1f}, {high:+.1f}]" if seeds > 1 else MISSING
    mark = origin_mark(suite, cell.label, [cell.task])
    return GridRow(
        cell.label,
        (
            Text(points(published.score), "" if cell.is_point else spread, note=kind),
            Text(points(float(cell.scores.mean())), sd, mark=mark),
            Text(f"{cell.difference:+.1f}", mark=mark),
            Text(interval),
            Text(
                str(cell.verdict),
                note=", ".join(cell.differs),
                bold=cell.verdict is Verdict.REPRODUCED,
            ),
        ),
    )


def _panel(axes: Axes, cells: Sequence[Reproduction], reach: float) -> None:
    axes.axvspan(-MARGIN, MARGIN, color="#009E73", alpha=0.10, linewidth=0)
    axes.axvline(0.0, color="#444444", linewidth=0.7)
    for place, cell in enumerate(cells):
        colour, (low, high) = _COLOURS[cell.verdict], cell.interval
        if not math.isnan(low):
            axes.plot([low, high], [place, place], color=colour, linewidth=1.6)
        inside = max(-reach, min(reach, cell.difference))
        beyond = "<" if inside > cell.difference else ">"
        axes.plot(
            inside,
            place,
            marker="o" if inside == cell.difference else beyond,
            markersize=4.5,
            color=colour,
            markerfacecolor="white" if cell.verdict is Verdict.NOT_COMPARABLE else colour,
            clip_on=False,
        )
    axes.set_yticks(range(len(cells)), [cell.label for cell in cells])
    axes.set_ylim(len(cells) - 0.4, -0.6)
    axes.set_xlim(-reach, reach)
    axes.grid(True, axis="x")
    axes.tick_params(axis="y", length=0)


def _reach(found: Sequence[Reproduction]) -> float:
    """The end of the scale: all differences and intervals, up to a limit."""
    ends = [abs(end) for cell in found for end in (*cell.interval, cell.difference)]
    return min(_WIDEST, max(2 * MARGIN, *(1.05 * end for end in ends if not math.isnan(end))))


def _legend(found: Sequence[Reproduction]) -> list[Line2D]:
    there = {cell.verdict for cell in found}
    return [
        Line2D(
            [],
            [],
            color=_COLOURS[verdict],
            marker="o",
            markersize=4.5,
            markerfacecolor="white" if verdict is Verdict.NOT_COMPARABLE else _COLOURS[verdict],
            linewidth=1.6,
            label=str(verdict),
        )
        for verdict in Verdict
        if verdict in there
    ]
