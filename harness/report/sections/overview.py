"""All scores at one glance: a heat map of methods by tasks, for suites with many of both."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from harness.report.comparison import Comparison
from harness.report.layout import MISSING
from harness.report.names import short_names
from harness.report.notes import SMOKE
from harness.report.section import Section
from harness.report.style import Drawing, all_lines, by_score, save, styled

LEAST_TASKS, LEAST_ROWS = 4, 5  # fewer are read more easily from the chart of averages
TITLE_WIDTH = 16  # characters
CAPTION = (
    "Scores by task, and by family on average; rows by their average, best at the top, and last "
    "those without a score on some task. Colours end at 0 and 100. "
    f"{MISSING}: no finished run; empty: not planned."
)


class Overview(Section):
    """Mean scores of every row on every task."""

    @property
    def subject(self) -> str:
        return "the heat map of scores"

    def drawings(self, folder: Path) -> list[Drawing]:
        comparison = self.comparison
        enough = len(comparison.tasks) >= LEAST_TASKS and len(comparison.labels) >= LEAST_ROWS
        if not enough or not any(len(cell.scores) for cell in comparison.cells.values()):
            return []
        with styled():
            files = save(_figure(comparison), folder / "overview")
        return [Drawing("Scores by task and method", CAPTION, tuple(files))]


def _figure(comparison: Comparison) -> Figure:
    order = by_score(comparison)
    names, keys = short_names(comparison.suite.rows)
    titles = {task.id: task.title for task in comparison.suite.tasks}
    # A family's tasks, and behind them their mean where there are several.
    columns: list[tuple[str, tuple[str, ...]]] = []
    for group in comparison.families:
        columns += [(titles[task], (task,)) for task in group.tasks]
        if group in comparison.averaged:
            columns.append(
                (f"mean of {group.name}{comparison.scales.mark(group.tasks)}", group.tasks)
            )
    means = np.array(
        [[_mean(comparison, label, tasks) for _, tasks in columns] for label in order], np.float64
    )
    beside = 0.25 + 0.066 * max(len(name) for name in names.values())
    size = (beside + 0.52 * len(columns) + 0.7, 0.2 * len(order) + 1.35 + 0.15 * len(keys))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(means, aspect="auto", cmap="cividis", vmin=0.0, vmax=100.0)
    axes.set_facecolor("#E4E4E4")
    _numbers(axes, comparison, order, columns, means)
    axes.set_xticks(
        range(len(columns)),
        [fill(title, TITLE_WIDTH) for title, _ in columns],
        rotation=50,
        ha="left",
        rotation_mode="anchor",
    )
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.set_yticks(range(len(order)), [names[label] for label in order])
    styles = all_lines(comparison)
    for tick, label in zip(axes.get_yticklabels(), order, strict=True):
        tick.set_fontweight("bold" if styles[label].emphasised else "normal")
    for index, (_, tasks) in enumerate(columns):
        if len(tasks) > 1:
            axes.get_xticklabels()[index].set_fontweight("bold")
            axes.axvline(index + 0.5, color="white", linewidth=3)
    axes.set_xticks(np.arange(-0.5, len(columns)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(order)), minor=True)
    axes.grid(True, which="minor", color="white", linewidth=0.8)
    axes.tick_params(which="minor", length=0, top=False)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=30, extend="both")
    bar.set_label("\n".join([comparison.score_name, *keys]))
    if comparison.suite.smoke:
        figure.suptitle(SMOKE, color="#C00000", weight="bold")
    return figure


def _mean(comparison: Comparison, label: str, tasks: tuple[str, ...]) -> float:
    mean = comparison.average(label, tasks)
    return float("nan") if mean is None else mean


def _numbers(
    axes: Axes,
    comparison: Comparison,
    order: list[str],
    columns: list[tuple[str, tuple[str, ...]]],
    means: NDArray[np.float64],
) -> None:
    """The score in every cell that the suite plans, with its mark."""
    for (row, column), mean in np.ndenumerate(means):
        label, tasks = order[row], columns[column][1]
        if not comparison.applies(label, tasks):
            continue
        missing = np.isnan(mean)
        axes.text(
            column,
            row,
            MISSING if missing else f"{mean:.0f}{comparison.mark(label, tasks)}",
            ha="center",
            va="center_baseline",
            fontsize=7,
            fontweight="bold" if len(tasks) > 1 else "normal",
            color="white" if not missing and mean < 55 else "black",
            in_layout=False,  # within the axes: no room is to be made for hundreds of them
        )
