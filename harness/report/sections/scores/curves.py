"""Learning curves: one panel per task, mean over seeds with its 95% band."""

from __future__ import annotations

import math
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from harness.report.comparison import Comparison
from harness.report.curves import Curves, read_curves
from harness.report.notes import SMOKE
from harness.report.panels import thousands
from harness.report.records import Records
from harness.report.style import CONTEXT, Line, by_score, legend_below, lines, save, styled
from harness.statistics.intervals import t_interval

PANELS_PER_PAGE = 12
COLUMNS = 3
TITLE_WIDTH = 28  # characters; longer titles would touch their neighbours'


def learning_curves(records: Records, comparison: Comparison, folder: Path) -> list[Path]:
    """Write `curves.png|pdf`, and `curves-2.…` and so on beyond twelve tasks; returns the files."""
    shown = lines(comparison)
    curves = read_curves(records)
    files = []
    for start in range(0, len(comparison.tasks), PANELS_PER_PAGE):
        page = comparison.tasks[start : start + PANELS_PER_PAGE]
        name = "curves" if start == 0 else f"curves-{start // PANELS_PER_PAGE + 1}"
        with styled():
            files += save(_page(comparison, curves, page, shown), folder / name)
    return files


def _page(
    comparison: Comparison, curves: Curves, tasks: list[str], shown: dict[str, Line]
) -> Figure:
    columns = min(COLUMNS, len(tasks))
    if len(tasks) == 4:
        columns = 2
    rows = math.ceil(len(tasks) / columns)
    single = len(tasks) == 1
    size = (5.6, 3.0) if single else (2.4 * columns + 0.3, 1.95 * rows + 0.75)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    titles = {task.id: task.title for task in comparison.suite.tasks}
    for index, (axes, task) in enumerate(zip(panels, tasks, strict=False)):
        _panel(axes, curves, task, shown)
        axes.set_title(fill(titles[task], TITLE_WIDTH, break_on_hyphens=False))
        if index % columns == 0:
            axes.set_ylabel("Normalized score")
        if index + columns >= len(tasks):
            axes.set_xlabel("Gradient steps")
            axes.tick_params(labelbottom=True)
    panels[0].set_xlim(left=0)  # of all, after the last: it fixes the right end as well
    for axes in panels[len(tasks) :]:
        axes.remove()
    _legend(figure, comparison, shown, beside=single)
    if comparison.suite.smoke:
        figure.suptitle(SMOKE, color="#C00000", weight="bold")
    return figure


def _panel(axes: Axes, curves: Curves, task: str, shown: dict[str, Line]) -> None:
    lowest, highest = 0.0, 1.0
    for label, line in shown.items():
        found = curves.get((task, label))
        if found is None:
            continue
        mean = found.scores.mean(axis=0)
        axes.plot(
            found.steps,
            mean,
            color=line.colour,
            linestyle=line.dash,
            linewidth=line.width,
            marker="o" if len(found.steps) == 1 else None,
            solid_capstyle="round",
        )
        if len(found.scores) > 1 and line is not CONTEXT:
            bounds = np.array([t_interval(scores) for scores in found.scores.T])
            axes.fill_between(
                found.steps,
                bounds[:, 0],
                bounds[:, 1],
                color=line.colour,
                alpha=0.16 if line.emphasised else 0.09,
                linewidth=0,
                zorder=1.5,
            )
        lowest, highest = min(lowest, found.scores.min()), max(highest, found.scores.max())
    # Bands of few seeds can be far wider than all the data; they may not squash the curves.
    margin = 0.05 * (highest - lowest)
    axes.set_ylim(lowest - margin, highest + margin)
    axes.grid(True, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(thousands))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _legend(figure: Figure, comparison: Comparison, shown: dict[str, Line], beside: bool) -> None:
    """Best first, so that a reader can follow the lines from top to bottom."""
    ranked = by_score(comparison)
    named = {label: shown[label] for label in ranked if shown[label] is not CONTEXT}
    others = len(shown) - len(named)
    if others:
        named[f"{others} others"] = CONTEXT
    handles = [
        Line2D([], [], color=line.colour, linestyle=line.dash, linewidth=line.width, label=label)
        for label, line in named.items()
    ]
    if beside:
        legend = figure.legend(handles=handles, loc="outside right center", handlelength=2.4)
    else:
        legend = legend_below(figure, handles)
    for text in legend.get_texts():
        if text.get_text() in shown and shown[text.get_text()].emphasised:
            text.set_fontweight("bold")
