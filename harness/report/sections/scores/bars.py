"""Bar chart of suite averages: one panel per family of tasks, best at the top, 95% whiskers."""

from __future__ import annotations

import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report.comparison import Comparison, Group
from harness.report.layout import MISSING
from harness.report.notes import SMOKE
from harness.report.style import Line, lines, save, styled

COLUMNS = 4


def average_bars(comparison: Comparison, folder: Path) -> list[Path]:
    """Write `averages.png|pdf`; returns the files."""
    groups = comparison.families
    if len(groups) > 1:
        groups = [comparison.everything, *groups]
    groups = [group for group in groups if _shown(comparison, group)]
    if not groups:
        return []
    columns = min(COLUMNS, len(groups))
    rows = math.ceil(len(groups) / columns)
    height = 0.24 * max(len(_shown(comparison, group)) for group in groups) + 0.75
    width = 5.6 if columns == 1 else 2.6 * columns
    with styled():
        figure = Figure(figsize=(width, rows * height + 0.2), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        styles = lines(comparison)
        for axes, group in zip(panels, groups, strict=False):
            _panel(axes, comparison, group, styles)
        dots = "; dots: seeds" if any(len(group.tasks) == 1 for group in groups) else ""
        figure.supxlabel(f"{comparison.score_name} (mean; line: 95% interval{dots})", fontsize=8)
        for axes in panels[len(groups) :]:
            axes.remove()
        if comparison.suite.smoke:
            figure.suptitle(SMOKE, color="#C00000", weight="bold")
        return save(figure, folder / "averages")


def _panel(axes: Axes, comparison: Comparison, group: Group, styles: dict[str, Line]) -> None:
    averages = {
        label: comparison.average(label, group.tasks) for label in _shown(comparison, group)
    }
    best_first = sorted(averages, key=lambda label: _or_lowest(averages[label]), reverse=True)
    order = best_first[::-1]  # positions count from the bottom
    right = 1.0
    for position, label in enumerate(order):
        mean, line = averages[label], styles[label]
        if mean is None:
            _annotate(axes, 0.0, position, f"{MISSING} (incomplete)")
            continue
        axes.barh(position, mean, height=0.68, color=line.tint, linewidth=0)
        low, high = comparison.average_interval(label, group.tasks)
        axes.plot([low, high], [position, position], color="#222222", linewidth=1.1)
        if len(group.tasks) == 1:
            seeds = comparison.cells[group.tasks[0], label].scores
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
        end = max(0.0, mean, -math.inf if math.isnan(high) else high)
        _annotate(axes, end, position, f"{mean:.1f}{comparison.mark(label, group.tasks)}")
        right = max(right, end)
    axes.set_xlim(right=right * 1.14)
    axes.axvline(0.0, color="#444444", linewidth=0.7)
    axes.set_yticks(range(len(order)), order)
    for tick, label in zip(axes.get_yticklabels(), order, strict=True):
        tick.set_fontweight("bold" if styles[label].emphasised else "normal")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(True, axis="x")
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_title(_title(comparison, group))


def _shown(comparison: Comparison, group: Group) -> list[str]:
    """The labels that the suite runs on all of the group's tasks."""
    return [label for label in comparison.labels if comparison.applies(label, group.tasks)]


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
        return next(task.title for task in comparison.suite.tasks if task.id == group.tasks[0])
    mark = comparison.scales.mark(group.tasks)
    if group == comparison.everything:
        return f"{group.name.capitalize()}{mark}"
    return f"{group.name}{mark} ({len(group.tasks)} tasks)"


def _or_lowest(value: float | None) -> float:
    return -math.inf if value is None else value
