"""Pages of small panels with one legend, and the words and values on their axes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from pydantic import JsonValue

from harness.report.comparison import Comparison
from harness.report.notes import SMOKE
from harness.report.style import CONTEXT, LineStyle, legend_columns, save, styled
from harness.statistics.intervals import Scores, t_interval

PANELS_PER_PAGE = 6
WIDTHS = {1: 5.6, 2: 6.2, 3: 7.5}  # inches of a page, by panels side by side
BAND_FROM = 6  # seeds
LABEL_INCHES = 0.13  # a name's height beside the end of a line

P = TypeVar("P")


def draw_pages(
    panels: Sequence[P],
    draw: Callable[[Axes, P], None],
    stem: Path,
    comparison: Comparison,
    *,
    columns: int = 3,
    height: float = 1.95,
    legend: Sequence[Line2D] = (),
) -> list[Path]:
    """Draw each panel with `draw`; returns `<stem>.png|pdf`, `<stem>-2.png|pdf` and so on.

    `height` is a panel's, in inches; pages are at most as wide as a paper's text.
    """
    files = []
    for start in range(0, len(panels), PANELS_PER_PAGE):
        page = panels[start : start + PANELS_PER_PAGE]
        wide = 2 if len(page) == 4 else min(columns, len(page))
        rows = math.ceil(len(page) / wide)
        width = WIDTHS[wide]
        with styled():
            figure = Figure(figsize=(width, rows * height + _extra(legend, width)))
            figure.set_layout_engine("constrained")
            grid = figure.subplots(rows, wide, squeeze=False).ravel()
            for axes, panel in zip(grid, page, strict=False):
                draw(axes, panel)
            for axes in grid[len(page) :]:
                axes.remove()
            if legend:
                figure.legend(
                    handles=list(legend),
                    loc="outside lower center",
                    ncols=legend_columns(legend, width),
                    handlelength=2.4,
                )
            if comparison.suite.smoke:
                figure.suptitle(SMOKE, color="#C00000", weight="bold")
            number = start // PANELS_PER_PAGE + 1
            files += save(figure, stem if number == 1 else stem.with_name(f"{stem.name}-{number}"))
    return files


def draw_curve(axes: Axes, steps: NDArray[Any], scores: Scores, line: LineStyle) -> None:
    """A mean over seeds, with its seeds as thin lines, or its 95% band from six seeds on.

    Bands of fewer seeds fill the panel: Student's t is wide then. steps: [N]; scores: [seeds, N].
    """
    mean = scores.mean(axis=0)
    axes.plot(
        steps,
        mean,
        color=line.colour,
        linestyle=line.dash,
        linewidth=line.width,
        solid_capstyle="round",
    )
    if line is CONTEXT or len(scores) == 1:
        return
    if len(scores) >= BAND_FROM:
        bounds = np.array([t_interval(column) for column in scores.T])
        strength = 0.16 if line.emphasised else 0.09
        axes.fill_between(
            steps, *bounds.T, color=line.colour, alpha=strength, linewidth=0, zorder=1.5
        )
        return
    for seed in scores:
        axes.plot(steps, seed, color=line.colour, linewidth=0.5, alpha=0.35, zorder=1.6)


def label_ends(axes: Axes, ends: Mapping[str, tuple[float, LineStyle]], height: float) -> None:
    """Names beside the right ends of lines, moved apart so that none covers another.

    ends: by name, where its line ends (y) and how it is drawn; height: of the axes, in inches.
    """
    low, high = axes.get_ylim()
    apart = (high - low) * LABEL_INCHES / height
    order = sorted(ends, key=lambda name: ends[name][0])
    places = _apart([min(ends[name][0], high) for name in order], apart)
    right = axes.get_xlim()[1]
    for name, place in zip(order, places, strict=True):
        line = ends[name][1]
        axes.annotate(
            name,
            (right, place),
            xytext=(4, 0),
            textcoords="offset points",
            annotation_clip=False,
            color=line.colour,
            fontsize=7.5,
            fontweight="bold" if line.emphasised else "normal",
            verticalalignment="center_baseline",
        )


def _apart(places: Sequence[float], distance: float) -> list[float]:
    """Ascending places moved so little that they are `distance` apart; crowds keep their middle."""
    crowds: list[tuple[float, int]] = []  # the middle of each, and how many it is of
    for place in places:
        middle, count = place, 1
        while crowds and middle - crowds[-1][0] < distance * (count + crowds[-1][1]) / 2:
            other, more = crowds.pop()
            middle, count = (middle * count + other * more) / (count + more), count + more
        crowds.append((middle, count))
    return [m + distance * (i - (n - 1) / 2) for m, n in crowds for i in range(n)]


def labels_fit(count: int, height: float) -> bool:
    """Whether so many names can stand beside the ends of lines in axes of that height, inches."""
    return count * LABEL_INCHES <= 0.9 * height


def in_words(values: Mapping[str, JsonValue]) -> str:
    """`learning rate 0.001, dim 2`."""
    return ", ".join(f"{name.replace('_', ' ')} {spelled(value)}" for name, value in values.items())


def spelled(value: JsonValue) -> str:
    """A value of a field as an axis or legend shows it."""
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def in_order(values: Iterable[JsonValue]) -> list[JsonValue]:
    """Distinct values: numbers ascending, anything else in the order given."""
    distinct = list({json.dumps(value): value for value in values}.values())
    return sorted(distinct, key=float) if are_numbers(distinct) else distinct  # type: ignore[arg-type]


def are_numbers(values: Iterable[JsonValue]) -> bool:
    """Whether all are numbers, truth values not counted."""
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def spans_decades(values: Sequence[float]) -> bool:
    """Whether a logarithmic axis shows the values better."""
    return min(values) > 0 and max(values) >= 8 * min(values)


def count_of_seeds(counts: Iterable[int]) -> str:
    """`3 seeds`, or `2 to 3 seeds` where cells differ."""
    distinct = sorted(set(counts))
    if not distinct:
        return "no finished seed"
    low, high = distinct[0], distinct[-1]
    span = f"{high}" if low == high else f"{low} to {high}"
    return f"{span} seed{'s' if high > 1 else ''}"


def thousands(steps: float, _position: int) -> str:
    """An axis' steps in few letters: `500`, `20k`, `1M`."""
    if steps >= 1e6:
        return f"{steps / 1e6:g}M"
    return f"{steps / 1e3:g}k" if steps >= 1e3 else f"{steps:g}"


def _extra(legend: Sequence[Line2D], width: float) -> float:
    """Inches for the legend and the page's edge."""
    rows = math.ceil(len(legend) / legend_columns(legend, width)) if legend else 0
    return 0.15 + 0.17 * rows
