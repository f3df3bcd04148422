"""Trends: a quantity against a swept field, a task's option, or latency."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import Transform, offset_copy

from harness.report.comparison import Comparison
from harness.report.panels import (
    BAND_FROM,
    are_numbers,
    count_of_seeds,
    draw_pages,
    in_order,
    spans_decades,
    spelled,
)
from harness.report.records import Records
from harness.report.sections.requested.points import Point, trend_points
from harness.report.sections.requested.quantities import axis_label
from harness.report.style import Drawing, LineStyle, handle, method_lines
from harness.suite.figures import Trend

TITLE_WIDTH = 30  # characters
MOST_TICKS = 8  # one per value
WORDS = (0.06, 0.08)  # what words beside a point take of a panel, width and height
SPREAD = 14  # points that all lines together may be set apart


def draw_trend(figure: Trend, records: Records, comparison: Comparison, folder: Path) -> Drawing:
    """One panel per task, or one for all tasks that differ in the option alone."""
    points, without_trend = _of_panels_with_a_trend(trend_points(figure, records, comparison))
    styles = method_lines({point.line: point.method for point in points})
    names = list(styles)
    swept = [name for name in names if any(p.line == name and not p.is_reference for p in points)]
    aside = {name: index - (len(swept) - 1) / 2 for index, name in enumerate(swept)}
    legend = [_handle(name, styles[name], name in swept) for name in names]
    panels = list(dict.fromkeys(point.panel for point in points))
    x_values = in_order(point.x for point in points if not point.is_reference)

    x_label, y_label = (axis_label(name, records, comparison) for name in (figure.x, figure.value))

    def draw(axes: Axes, panel: str) -> None:
        here = [point for point in points if point.panel == panel]
        places = _scale_x(axes, figure, x_values)
        for name in names:
            line = [point for point in here if point.line == name]
            shift = aside.get(name, 0.0) * min(places.dodge, SPREAD / len(swept or names))
            _draw_line(axes, line, styles[name], places, shift)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.set_title(fill(panel, TITLE_WIDTH))
        axes.grid(True, axis="y")
        _limit_y(axes, here)
        _name_points(axes, here, styles, places)

    files = draw_pages(panels, draw, folder / figure.slug, comparison, height=2.3, legend=legend)
    caption = _caption(figure, points, x_label, y_label, has_references=len(swept) < len(names))
    if without_trend:
        caption += f" Left out, as they have a single {x_label}: {', '.join(without_trend)}."
    return Drawing(figure.title, caption, tuple(files))


def _of_panels_with_a_trend(points: Sequence[Point]) -> tuple[list[Point], list[str]]:
    """The points of panels with two values of `x`, or all if no panel has; and the other panels."""
    values: dict[str, set[str]] = {}
    for point in points:
        of_panel = values.setdefault(point.panel, set())
        of_panel |= set() if point.is_reference else {json.dumps(point.x)}
    single = [panel for panel, found in values.items() if len(found) < 2]
    if len(single) == len(values):
        return list(points), []
    return [point for point in points if point.panel not in single], single


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
    axes: Axes, line: Sequence[Point], style: LineStyle, places: _Places, shift: float
) -> None:
    for point in line:
        if point.is_reference:
            axes.axhline(point.mean, color=style.colour, linestyle="dotted", linewidth=1.3)
    line = [point for point in line if not point.is_reference]
    if not any(point.words for point in line):  # else in the suite's order, along what is swept
        line = sorted(line, key=lambda point: places(point.x))
    if not line:
        return
    x = [places(point.x) for point in line]
    aside = offset_copy(axes.transData, fig=axes.get_figure(root=True), x=shift, units="points")
    _draw_spread(axes, line, x, style, aside)
    axes.plot(
        x,
        [point.mean for point in line],
        color=style.colour,
        linestyle=style.dash if places.numeric else "none",
        linewidth=style.width,
        marker=style.marker,
        markersize=4.5,
        markeredgecolor="white",
        markeredgewidth=0.5,
        transform=aside,
    )


def _name_points(
    axes: Axes, points: Sequence[Point], styles: Mapping[str, LineStyle], places: _Places
) -> None:
    """Write the points' words beside them, but none over another: first come, first served."""
    inside = axes.transScale + axes.transLimits  # to fractions of the panel
    taken: list[tuple[float, float]] = []
    for point in (point for point in points if point.words and not point.is_reference):
        place = (places(point.x), point.mean)
        x, y = inside.transform(place)
        if any(abs(x - left) < WORDS[0] and abs(y - low) < WORDS[1] for left, low in taken):
            continue
        taken.append((x, y))
        axes.annotate(
            point.words,
            place,
            xytext=(3, 3),
            textcoords="offset points",
            fontsize=6.5,
            color=styles[point.line].colour,
        )


def _draw_spread(
    axes: Axes, line: Sequence[Point], x: Sequence[float], style: LineStyle, aside: Transform
) -> None:
    """The seeds of every point, or from six seeds on the 95% interval of its mean."""
    for point, place in zip(line, x, strict=True):
        if len(point.values) >= BAND_FROM:
            axes.vlines(
                place,
                *point.interval,
                color=style.colour,
                linewidth=0.9,
                alpha=0.75,
                transform=aside,
            )
        elif len(point.values) > 1:
            axes.plot(
                [place] * len(point.values),
                point.values,
                color=style.colour,
                linewidth=0.6,
                marker="_",
                markersize=4,
                alpha=0.6,
                transform=aside,
            )


def _limit_y(axes: Axes, points: Sequence[Point]) -> None:
    """Intervals can be far wider than all means; they may not squash the lines."""
    values = [value for point in points for value in point.values]
    low, high = min(values), max(values)
    room = max(high - low, 0.1 * abs(high), 1e-9)
    axes.set_ylim(low - 0.05 * room, high + 0.05 * room)


def _handle(name: str, line: LineStyle, has_points: bool) -> Line2D:
    if has_points:
        return handle(name, line, marker=True)
    return handle(name, replace(line, dash="dotted"))


def _caption(
    figure: Trend, points: Sequence[Point], x_label: str, y_label: str, *, has_references: bool
) -> str:
    tasks = ", ".join(dict.fromkeys(point.task for point in points)) or "no task yet"
    used = dict.fromkeys(p.action_selection for p in points if p.action_selection)
    acting = (
        f" Action selection: {', '.join(used)}."
        if used and not figure.value.startswith("metric")
        else ""
    )
    dotted = f" Dotted: rows without {x_label}." if has_references else ""
    counts = [len(point.values) for point in points]
    spread = "its seeds"
    if counts and max(counts) >= BAND_FROM:
        spread = "its 95% interval (Student's t, cut off at the panel's edge)"
        spread += f"; of fewer than {BAND_FROM}, the seeds" if min(counts) < BAND_FROM else ""
    numbers = (
        " Numbers beside points, where there is room: the rows' values."
        if any(p.words for p in points)
        else ""
    )
    return (
        f"{y_label} against {x_label}: mean over "
        f"{count_of_seeds(counts)} and {spread}, on {tasks}.{acting}{dotted}{numbers}"
    )
