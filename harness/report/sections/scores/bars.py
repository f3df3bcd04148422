"""Bar chart of suite averages: one panel per family of tasks, 95% whiskers, best at the top."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.report.comparison import Comparison, Group
from harness.report.layout import MISSING
from harness.report.names import short_names
from harness.report.notes import SMOKE
from harness.report.style import LineStyle, all_lines, by_score, save, styled

COLUMNS = 4
PANEL = 1.9  # inches of one of several side by side
LETTER = 0.066  # inches, of a name at the left, bold
TITLE_WIDTH = 26  # characters


def average_bars(comparison: Comparison, folder: Path) -> list[Path]:
    """Write `averages.png|pdf`, if a row has finished all tasks of a panel; returns the files.

    Panels share the order of rows, by the average over all tasks, and their names at the left.
    """
    groups = [group for group in comparison.charted if _averaged(comparison, group)]
    if not groups:
        return []
    order = _order(comparison, groups)
    names, keys = short_names(comparison.suite.rows)
    columns = min(COLUMNS, len(groups))
    rows = math.ceil(len(groups) / columns)
    beside = 0.25 + LETTER * max(len(names[label]) for label in order)
    width = beside + (3.6 if columns == 1 else PANEL * columns)
    titles = [_title(comparison, group) for group in groups]
    lines_of_title = max(title.count("\n") for title in titles)
    height = 0.22 * len(order) + 0.6 + 0.15 * lines_of_title
    with styled():
        figure = Figure(figsize=(width, rows * height + 0.4 + 0.15 * len(keys)))
        figure.set_layout_engine("constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        styles = all_lines(comparison)
        for axes, group, title in zip(panels, groups, titles, strict=False):
            _panel(axes, comparison, group, order, styles)
            axes.set_title(title)
        for axes in panels[::columns]:
            axes.set_yticks(range(len(order)), [names[label] for label in order])
            for tick, label in zip(axes.get_yticklabels(), order, strict=True):
                tick.set_fontweight("bold" if styles[label].emphasised else "normal")
        dots = "; dots: seeds" if any(len(group.tasks) == 1 for group in groups) else ""
        said = [f"{comparison.score_name} (mean; line: 95% interval{dots})", *keys]
        if absent := len(comparison.labels) - len(order):
            said.append(f"left out: {absent} without finished runs on all tasks of any panel")
        figure.supxlabel("\n".join(said), fontsize=8)
        for axes in panels[len(groups) :]:
            axes.remove()
        if comparison.suite.smoke:
            figure.suptitle(SMOKE, color="#C00000", weight="bold")
        return save(figure, folder / "averages")


def _order(comparison: Comparison, groups: Sequence[Group]) -> list[str]:
    """Labels from the bottom up: incomplete ones lowest, then by average; ties in suite order.

    Those without any bar are left out.
    """
    shown = {label for group in groups for label in _averaged(comparison, group)}
    everything = comparison.everything.tasks
    complete = {label: comparison.average(label, everything) for label in comparison.labels}
    ranked = sorted(
        by_score(comparison), key=lambda label: _or_lowest(complete[label]), reverse=True
    )
    return [label for label in ranked[::-1] if label in shown]


def _panel(
    axes: Axes,
    comparison: Comparison,
    group: Group,
    order: Sequence[str],
    styles: dict[str, LineStyle],
) -> None:
    shown = _shown(comparison, group)
    right = 1.0
    for position, label in enumerate(order):  # from the bottom
        if label not in shown:
            continue
        mean, line = comparison.average(label, group.tasks), styles[label]
        if mean is None:
            _annotate(axes, 0.0, position, f"{MISSING} (incomplete)")
            continue
        axes.barh(position, mean, height=0.68, color=line.tint, linewidth=0)
        low, high = comparison.average_interval(label, group.tasks)
        axes.plot([low, high], [position, position], color="#222222", linewidth=1.1)
        alone = len(group.tasks) == 1
        seeds: list[float] = [*comparison.cells[group.tasks[0], label].scores] if alone else []
        axes.plot(
            seeds,
            [position] * len(seeds),
            linestyle="none",
            marker="o",
            markersize=3.2,
            markerfacecolor="white",
            markeredgecolor="#222222",
            markeredgewidth=0.7,
        )
        end = max(0.0, mean, -math.inf if math.isnan(high) else high, *seeds)
        _annotate(axes, end, position, f"{mean:.1f}{comparison.mark(label, group.tasks)}")
        right = max(right, end)
    axes.set_xlim(right=right * 1.3)  # for the numbers
    axes.axvline(0.0, color="#444444", linewidth=0.7)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(True, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_ylim(-0.6, len(order) - 0.4)


def _shown(comparison: Comparison, group: Group) -> list[str]:
    """The labels that the suite runs on all of the group's tasks."""
    return [label for label in comparison.labels if comparison.applies(label, group.tasks)]


def _averaged(comparison: Comparison, group: Group) -> list[str]:
    """Those of them that have finished all of its tasks."""
    return [
        label
        for label in _shown(comparison, group)
        if comparison.average(label, group.tasks) is not None
    ]


def _annotate(axes: Axes, end: float, position: int, text: str) -> None:
    axes.annotate(
        text,
        (end, position),
        xytext=(5, 0),
        textcoords="offset points",
        verticalalignment="center_baseline",
        fontsize=7.5,
    )


def _title(comparison: Comparison, group: Group) -> str:
    if len(group.tasks) == 1:
        title = f"{comparison.title(group.tasks[0])}{', not ranked' * (not group.ranks)}"
        return fill(title, TITLE_WIDTH, break_on_hyphens=False)
    mark = comparison.scales.mark(group.tasks)
    if group == comparison.everything:
        return f"{group.name.capitalize()}{mark}"
    title = f"{group.name}{mark} ({len(group.tasks)} tasks)"
    return fill(title, TITLE_WIDTH, break_on_hyphens=False)


def _or_lowest(value: float | None) -> float:
    return -math.inf if value is None else value
