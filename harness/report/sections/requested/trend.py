"""Trends: a quantity against a swept field, a task's option, or amortised action latency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import offset_copy

from harness.report.comparison import Comparison
from harness.report.panels import (
    MARKERS,
    are_numbers,
    count_of_seeds,
    draw_pages,
    in_order,
    line_styles,
    spans_decades,
    spelled,
)
from harness.report.records import Records
from harness.report.sections.requested.points import Point, trend_points
from harness.report.sections.requested.quantities import axis_label
from harness.report.style import Drawing, Line
from harness.suite.figures import Trend

TITLE_WIDTH = 30  # characters
MOST_TICKS = 8  # one per value
SPREAD = 14  # points that all lines together may be set apart


def draw_trend(figure: Trend, records: Records, comparison: Comparison, folder: Path) -> Drawing:
    """One panel per task, or one for all tasks that differ in the option alone."""
    points = trend_points(figure, records, comparison)
    names = list(dict.fromkeys(point.line for point in points))
    styles = line_styles(names, comparison)
    markers = {name: MARKERS[index % len(MARKERS)] for index, name in enumerate(names)}
    swept = [name for name in names if any(p.line == name and not p.is_reference for p in points)]
    aside = {name: index - (len(swept) - 1) / 2 for index, name in enumerate(swept)}
    legend = [
        _handle(name, styles[name], markers[name] if name in swept else None) for name in names
    ]
    panels = list(dict.fromkeys(point.panel for point in points))
    x_values = in_order(point.x for point in points if not point.is_reference)

    def draw(axes: Axes, panel: str) -> None:
        here = [point for point in points if point.panel == panel]
        places = _scale_x(axes, figure, x_values)
        for name in names:
            line = [point for point in here if point.line == name]
            shift = aside.get(name, 0.0) * min(places.dodge, SPREAD / len(swept or names))
            _draw_line(axes, line, styles[name], markers[name], places, shift)
        axes.set_xlabel(axis_label(figure.x))
        axes.set_ylabel(axis_label(figure.value))
        axes.set_title(fill(panel, TITLE_WIDTH))
        axes.grid(True, axis="y")
        _limit_y(axes, here)

    files = draw_pages(panels, draw, folder / figure.slug, comparison, height=2.3, legend=legend)
    return Drawing(figure.title, _caption(figure, points, len(swept) < len(names)), tuple(files))


class _Places:
    """Positions along the axis: of numbers themselves, of anything else by its rank.

    `dodge` is the distance of neighbouring lines, in points, so that intervals at one x are seen.
    """

    def __init__(self, values: Sequence[Any], shared: bool) -> None:
        self.numeric = are_numbers(values)
        self._values = list(values)
        self.dodge = 0.0 if not shared else 2.5 if self.numeric else 7.0

    def __call__(self, value: Any) -> float:
        return float(value) if self.numeric else float(self._values.index(value))


def _scale_x(axes: Axes, figure: Trend, values: Sequence[Any]) -> _Places:
    """Choose the axis' scale and ticks."""
    places = _Places(values, shared=figure.x != "latency")
    if not values:
        return places
    if not places.numeric:
        axes.set_xticks(range(len(values)), [spelled(value) for value in values])
        axes.set_xlim(-0.5, len(values) - 0.5)
        return places
    numbers = [float(value) for value in values]
    if spans_decades(numbers):
        axes.set_xscale("log")
        edge = (numbers[-1] / numbers[0]) ** 0.06
        axes.set_xlim(numbers[0] / edge, numbers[-1] * edge)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    else:
        room = 0.06 * (numbers[-1] - numbers[0] or abs(numbers[0]) or 1.0)
        axes.set_xlim(numbers[0] - room, numbers[-1] + room)
    if figure.x != "latency" and len(values) <= MOST_TICKS:
        axes.xaxis.set_major_locator(FixedLocator(numbers))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    return places


def _draw_line(
    axes: Axes, line: Sequence[Point], style: Line, marker: str, places: _Places, shift: float
) -> None:
    for point in line:
        if point.is_reference:
            axes.axhline(point.mean, color=style.colour, linestyle="dotted", linewidth=1.3)
    line = sorted((p for p in line if not p.is_reference), key=lambda p: places(p.x))
    if not line:
        return
    x = [places(point.x) for point in line]
    aside = offset_copy(axes.transData, fig=axes.get_figure(root=True), x=shift, units="points")
    means = [point.mean for point in line]
    bounds = np.array([point.interval for point in line])
    axes.vlines(
        x,
        bounds[:, 0],
        bounds[:, 1],
        color=style.colour,
        linewidth=0.9,
        alpha=0.75,
        transform=aside,
    )
    axes.plot(
        x,
        means,
        color=style.colour,
        linestyle=style.dash if places.numeric else "none",
        linewidth=style.width,
        marker=marker,
        markersize=4,
        markeredgecolor="white",
        markeredgewidth=0.5,
        transform=aside,
    )


def _limit_y(axes: Axes, points: Sequence[Point]) -> None:
    """Intervals of few seeds can be far wider than all means; they may not squash the lines."""
    means = [point.mean for point in points]
    low, high = min(means), max(means)
    room = max(high - low, 0.1 * abs(high), 1e-9)
    ends = [end for point in points for end in point.interval if not math.isnan(end)]
    bottom = max(min([low, *ends]), low - 0.6 * room)
    top = min(max([high, *ends]), high + 0.6 * room)
    margin = 0.05 * (top - bottom)
    axes.set_ylim(bottom - margin, top + margin)


def _handle(name: str, line: Line, marker: str | None) -> Line2D:
    dash: Any = "dotted" if marker is None else line.dash
    return Line2D(
        [],
        [],
        color=line.colour,
        linestyle=dash,
        linewidth=1.4,
        marker=marker,
        markersize=4,
        label=name,
    )


def _caption(figure: Trend, points: Sequence[Point], has_references: bool) -> str:
    tasks = ", ".join(dict.fromkeys(point.task for point in points)) or "no task yet"
    used = dict.fromkeys(p.action_selection for p in points if p.action_selection)
    acting = (
        f" Action selection: {', '.join(used)}."
        if used and not figure.value.startswith("metric")
        else ""
    )
    dotted = f" Dotted: rows without {axis_label(figure.x)}." if has_references else ""
    return (
        f"{axis_label(figure.value)} against {axis_label(figure.x)}: mean over "
        f"{count_of_seeds(point.seeds for point in points)} and its 95% interval (Student's t, cut "
        f"off at the panel's edge), on {tasks}.{acting}{dotted}"
    )
