"""Learning curves: one panel per task, the mean over seeds with its seeds or its 95% band."""

from __future__ import annotations

import math
from pathlib import Path
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from harness.report.comparison import Comparison
from harness.report.curves import Curves, read_curves
from harness.report.data_means import data_score
from harness.report.names import full_names
from harness.report.notes import SMOKE
from harness.report.panels import draw_curve, label_ends, labels_fit, thousands
from harness.report.records import Records
from harness.report.style import (
    CONTEXT,
    LineStyle,
    by_score,
    handle,
    legend_below,
    lines,
    save,
    styled,
)

PANELS_PER_PAGE = 12
COLUMNS = 3
TITLE_WIDTH = 28  # characters; longer titles would touch their neighbours'
HEIGHT = 3.2  # inches of a panel alone on its page; of its axes a little less
REFERENCE = "#767676"


def learning_curves(records: Records, comparison: Comparison, folder: Path) -> list[Path]:
    """Write `curves.png|pdf`, and `curves-2.…` and so on beyond twelve tasks; returns the files.

    None where every run was evaluated once: a point is no curve.
    """
    shown = lines(comparison)
    curves = {key: curve for key, curve in read_curves(records).items() if len(curve.steps) > 1}
    tasks = [task for task in records.suite.tasks if any(task.id == key[0] for key in curves)]
    means = {task.id: data_score(records, task) for task in tasks}
    files = []
    for start in range(0, len(tasks), PANELS_PER_PAGE):
        page = [task.id for task in tasks[start : start + PANELS_PER_PAGE]]
        name = "curves" if start == 0 else f"curves-{start // PANELS_PER_PAGE + 1}"
        with styled():
            files += save(_page(comparison, curves, page, shown, means), folder / name)
    return files


def _page(
    comparison: Comparison,
    curves: Curves,
    tasks: list[str],
    shown: dict[str, LineStyle],
    means: dict[str, float | None],
) -> Figure:
    columns = min(COLUMNS, len(tasks))
    if len(tasks) == 4:
        columns = 2
    rows = math.ceil(len(tasks) / columns)
    single = len(tasks) == 1
    size = (6.2, HEIGHT) if single else (2.4 * columns + 0.3, 1.95 * rows + 0.75)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    titles = {task.id: task.title for task in comparison.suite.tasks}
    for index, (axes, task) in enumerate(zip(panels, tasks, strict=False)):
        _panel(axes, curves, task, shown, means[task])
        axes.set_title(fill(titles[task], TITLE_WIDTH, break_on_hyphens=False))
        if index % columns == 0:
            axes.set_ylabel("Normalized score")
        if index + columns >= len(tasks):
            axes.set_xlabel("Gradient steps")
            axes.tick_params(labelbottom=True)
    panels[0].set_xlim(left=0)  # of all, after the last: it fixes the right end as well
    for axes in panels[len(tasks) :]:
        axes.remove()
    drawn = {label for task, label in curves if task in tasks}
    shown = {label: line for label, line in shown.items() if label in drawn}
    named, names = _named(comparison, shown), full_names(comparison.suite.rows)
    others = len(shown) - len(named)
    if single and not others and labels_fit(len(named), 0.75 * HEIGHT):
        _name_ends(panels[0], curves, tasks[0], named, names)
    else:
        in_legend = {names[label]: line for label, line in named.items()}
        _legend(figure, in_legend | ({f"{others} others": CONTEXT} if others else {}))
    if comparison.suite.smoke:
        figure.suptitle(SMOKE, color="#C00000", weight="bold")
    return figure


def _panel(
    axes: Axes, curves: Curves, task: str, shown: dict[str, LineStyle], data_mean: float | None
) -> None:
    lowest, highest = 0.0, 1.0
    for label, line in shown.items():
        found = curves.get((task, label))
        if found is None:
            continue
        draw_curve(axes, found.steps, found.scores, line)
        lowest, highest = min(lowest, found.scores.min()), max(highest, found.scores.max())
    if data_mean is not None:
        lowest, highest = min(lowest, data_mean), max(highest, data_mean)
        _reference(axes, data_mean, "data")
    if highest > 50.0:  # where scores are far below it, it would squash them
        highest = max(highest, 100.0)
        axes.axhline(100.0, color=REFERENCE, linewidth=0.7, zorder=1)
    # Bands of few seeds can be far wider than all the data; they may not squash the curves.
    margin = 0.05 * (highest - lowest)
    axes.set_ylim(lowest - margin, highest + margin)
    axes.grid(True, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(thousands))
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _reference(axes: Axes, score: float, name: str) -> None:
    """A horizontal line with its name at the left, where curves begin below or above it."""
    axes.axhline(score, color=REFERENCE, linewidth=0.7, linestyle=(0, (5, 3)), zorder=1)
    axes.annotate(
        name,
        (0.0, score),
        xycoords=("axes fraction", "data"),
        xytext=(2, 2),
        textcoords="offset points",
        color=REFERENCE,
        fontsize=6.5,
    )


def _named(comparison: Comparison, shown: dict[str, LineStyle]) -> dict[str, LineStyle]:
    """Best first, so that a reader can follow the lines from top to bottom."""
    order = [label for label in by_score(comparison) if label in shown]
    return {label: shown[label] for label in order if shown[label] is not CONTEXT}


def _name_ends(
    axes: Axes, curves: Curves, task: str, named: dict[str, LineStyle], names: dict[str, str]
) -> None:
    ends = {
        names[label]: (float(curves[task, label].scores[:, -1].mean()), line)
        for label, line in named.items()
        if (task, label) in curves
    }
    label_ends(axes, ends, 0.75 * HEIGHT)


def _legend(figure: Figure, named: dict[str, LineStyle]) -> None:
    handles = [handle(name, line) for name, line in named.items()]
    legend = legend_below(figure, handles)
    for text in legend.get_texts():
        if text.get_text() in named and named[text.get_text()].emphasised:
            text.set_fontweight("bold")
