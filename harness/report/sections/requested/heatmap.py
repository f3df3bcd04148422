"""Heat maps: the mean over seeds of a quantity by two swept fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from pydantic import JsonValue

from harness.report.comparison import Comparison
from harness.report.layout import MISSING
from harness.report.panels import (
    are_numbers,
    count_of_seeds,
    draw_pages,
    in_order,
    in_words,
    spelled,
)
from harness.report.records import Records
from harness.report.sections.requested.quantities import axis_label, own_actions, quantity, shown
from harness.report.style import Drawing
from harness.runs.suite_file import RowInfo
from harness.suite.figures import Heatmap

TITLE_WIDTH = 34  # characters
LABEL_WIDTH = 12  # characters
LETTERS_OF_THREE = 32  # across a panel; if there are more, two share a line instead of three


@dataclass(frozen=True)
class _Panel:
    title: str
    task: str
    columns: list[JsonValue]  # values of x
    rows: list[JsonValue]  # values of y
    means: NDArray[np.float64]  # [rows, columns], NaN where no run has finished


def draw_heatmap(
    figure: Heatmap, records: Records, comparison: Comparison, folder: Path
) -> Drawing:
    """One panel per task, suite entry and combination of further swept fields."""
    table = shown(
        figure, records, own_actions(records, quantity(records, comparison, figure.value))
    )
    found = table.groupby(["task", "label"])["value"].agg(["mean", "count"])
    panels = _panels(figure, records, found["mean"].to_dict())
    limits = _limits(panels)
    panels = [panel for panel in panels if panel.task in limits]

    x, y, value = (
        axis_label(name, records, comparison) for name in (figure.x, figure.y, figure.value)
    )

    def draw(axes: Axes, panel: _Panel) -> None:
        _draw(axes, panel, figure, limits[panel.task])
        axes.set_xlabel(x)
        axes.set_ylabel(y)

    widest = max((_letters(panel) for panel in panels), default=0)
    tallest = max((len(panel.rows) for panel in panels), default=0)
    files = draw_pages(
        panels,
        draw,
        folder / figure.slug,
        comparison,
        columns=3 if widest <= LETTERS_OF_THREE else 2,
        height=0.26 * tallest + 1.0,
    )
    caption = (
        f"{value}, mean over {count_of_seeds(found['count'])}, by {x} and {y}, on "
        f"{', '.join(dict.fromkeys(panel.task for panel in panels)) or 'no task yet'}. Panels of a "
        f"task share their colours; {MISSING}: no finished run."
    )
    return Drawing(figure.title, caption, tuple(files))


def _letters(panel: _Panel) -> int:
    """Characters across a panel: the names of its columns, apart, and the longest of its rows."""
    names = [max(len(spelled(value)), 4) + 1 for value in panel.columns]
    return sum(names) + min(LABEL_WIDTH, max(len(spelled(value)) for value in panel.rows))


def _limits(panels: Sequence[_Panel]) -> dict[str, tuple[float, float]]:
    """The smallest and largest mean of each task that has any."""
    limits = {}
    for task in dict.fromkeys(panel.task for panel in panels):
        means = np.concatenate([panel.means.ravel() for panel in panels if panel.task == task])
        if np.isfinite(means).any():
            limits[task] = (float(np.nanmin(means)), float(np.nanmax(means)))
    return limits


def _panels(figure: Heatmap, records: Records, means: Mapping[Any, float]) -> list[_Panel]:
    """Panels in the suite's order, for rows that sweep both fields."""
    groups: dict[tuple[str, str], list[RowInfo]] = {}
    for task in filter(lambda task: figure.shows_task(task.id), records.suite.tasks):
        for row in records.suite.rows:
            swept = {figure.x, figure.y} <= row.variant.keys()
            if swept and figure.shows_row(row.label, row.base) and row.runs_on(task.id):
                rest = {k: v for k, v in row.variant.items() if k not in {figure.x, figure.y}}
                words = ", ".join(filter(None, [row.base, in_words(rest)]))
                groups.setdefault((task.id, words), []).append(row)
    titles = {task.id: task.title for task in records.suite.tasks}
    panels = []
    for (task_id, words), members in groups.items():
        across = in_order(row.variant[figure.x] for row in members)
        upwards = in_order(row.variant[figure.y] for row in members)
        grid = np.full((len(upwards), len(across)), np.nan)
        for row in members:
            place = upwards.index(row.variant[figure.y]), across.index(row.variant[figure.x])
            grid[place] = means.get((task_id, row.label), np.nan)
        title = fill(f"{titles[task_id]}: {words}", TITLE_WIDTH)
        panels.append(_Panel(title, task_id, across, upwards, grid))
    return panels


def _draw(axes: Axes, panel: _Panel, figure: Heatmap, limits: tuple[float, float]) -> None:
    import seaborn  # slow to import, and most suites have no heat map

    low, high = limits
    digits = ".1f" if figure.value == "score" else ".3g"
    text = [[MISSING if np.isnan(v) else format(v, digits) for v in row] for row in panel.means]
    axes.set_facecolor("#DDDDDD")
    seaborn.heatmap(
        panel.means,
        ax=axes,
        vmin=low,
        vmax=high if high > low else low + 1.0,
        cmap="cividis",  # made for colour-vision deficiencies
        annot=False,
        cbar_kws={"pad": 0.02, "aspect": 15},
        linewidths=0.6,
        linecolor="white",
        xticklabels=[spelled(value) for value in panel.columns],
        yticklabels=[fill(spelled(value), LABEL_WIDTH) for value in panel.rows],
    )
    for row, values in enumerate(panel.means):
        for column, value in enumerate(values):
            bright = not np.isnan(value) and value < low + 0.55 * (high - low)
            axes.text(
                column + 0.5,
                row + 0.5,
                text[row][column],
                ha="center",
                va="center_baseline",
                fontsize=7,
                color="white" if bright else "black",
            )
    if are_numbers(panel.rows):
        axes.invert_yaxis()  # larger values further up
    axes.tick_params(length=0, labelrotation=0)
    axes.set_title(panel.title)
