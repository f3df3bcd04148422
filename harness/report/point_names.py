"""Names of the points of a panel, none of which covers another name or a point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from harness.report.style import LineStyle

_GAP = 4  # points of 1/72 inch between a point's middle and a name beside it
_SPOT = 3.6  # points: half of a point's width
_LENGTHS = range(6, 144, 6)  # points, of a line from a point to a name away from it
_DIRECTIONS = 24
_TRIES = 8  # orders in which names are placed

Pair = NDArray[np.float64]  # x and y, in points of 1/72 inch


def label_points(axes: Axes, points: Mapping[str, tuple[float, float, LineStyle]]) -> list[str]:
    """Names beside points, or where it is crowded at the end of a thin line from them.

    points: by name, x, y and how it is drawn; the first ones stand nearest. To be called last, as
    it settles the figure's layout. Returns the names that found no room.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    scale = 72 / figure.dpi
    room = axes.get_window_extent().get_points() * scale
    spots = {name: axes.transData.transform(at[:2]) * scale for name, at in points.items()}
    sizes = {}
    for name, at in points.items():
        text = _write(axes, name, at, np.zeros(2))
        sizes[name] = np.array(text.get_window_extent().size) * scale
        text.remove()
    order, best = list(points), _Places(room, spots, sizes)
    for _ in range(_TRIES):
        places = _Places(room, spots, sizes)
        places.fill(order)
        if len(places.offsets) > len(best.offsets):
            best = places
        left_out = [name for name in order if name not in places.offsets]
        if not left_out:
            break
        order = [*left_out, *(name for name in order if name in places.offsets)]
    for name, offset in best.offsets.items():
        line = {}
        if name in best.lines:
            corner = spots[name] + offset - sizes[name] / 2
            line = {"arrowstyle": "-", "linewidth": 0.6, "color": points[name][2].colour}
            line |= {
                "shrinkA": 0,
                "shrinkB": 2,
                "relpos": (best.lines[name][1] - corner) / sizes[name],
            }
        _write(axes, name, points[name], offset, arrowprops=line or None)
    return [name for name in points if name not in best.offsets]


def _write(
    axes: Axes, name: str, point: tuple[float, float, LineStyle], offset: Pair, **how: Any
) -> Annotation:
    x, y, line = point
    text = axes.annotate(
        name,
        (x, y),
        xytext=(offset[0], offset[1]),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=7,
        color=line.colour,
        fontweight="bold" if line.emphasised else "normal",
        **how,
    )
    text.set_in_layout(False)
    text.set_path_effects([withStroke(linewidth=2, foreground="white")])
    return text


@dataclass
class _Places:
    """Where names stand.

    Attributes:
        room: the panel's lower left and upper right corner, `[2, 2]`.
        offsets: by name, from its point to the middle of the name.
        lines: from points to the names that are away from them, their two ends, `[2, 2]`.
    """

    room: NDArray[np.float64]
    spots: Mapping[str, Pair]
    sizes: Mapping[str, Pair]
    offsets: dict[str, Pair] = field(default_factory=dict)
    lines: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    _names: list[NDArray[np.float64]] = field(default_factory=list)  # corners of each, [2, 2]

    def fill(self, order: Sequence[str]) -> None:
        """Place names right beside their points, then those left as near to them as can be."""
        for name in order:
            self._place(name, _beside(self.sizes[name]), with_line=False)
        for name in order:
            if name not in self.offsets:
                self._place(name, _around(self.sizes[name]), with_line=True)

    def _place(self, name: str, offsets: Iterator[Pair], *, with_line: bool) -> None:
        spot, half = self.spots[name], self.sizes[name] / 2
        for offset in offsets:
            corners = np.array([spot + offset - half, spot + offset + half])
            if not self._is_free(corners):
                continue
            line = np.array([spot, np.clip(spot, corners[0], corners[1])])
            if with_line and self._covers(line):
                continue
            self.offsets[name] = offset
            self._names.append(corners)
            if with_line:
                self.lines[name] = line
            return

    @property
    def _taken(self) -> NDArray[np.float64]:
        """Corners of points and names, `[N, 2, 2]`."""
        spots = [np.array([spot - _SPOT, spot + _SPOT]) for spot in self.spots.values()]
        return np.array([*spots, *self._names])

    def _is_free(self, corners: NDArray[np.float64]) -> bool:
        inside = (corners[0] >= self.room[0]).all() and (corners[1] <= self.room[1]).all()
        if not inside:
            return False
        taken = self._taken
        apart = (taken[:, 1] <= corners[0]) | (corners[1] <= taken[:, 0])
        box = Bbox(corners)
        return bool(apart.any(axis=1).all()) and not any(
            Path(line).intersects_bbox(box) for line in self.lines.values()
        )

    def _covers(self, line: NDArray[np.float64]) -> bool:
        """Whether a line from a point goes over a name, another point or a line."""
        path, (x, y) = Path(line), line[0].tolist()
        boxes = [box for box in map(Bbox, self._taken) if not box.contains(x, y)]
        return any(path.intersects_bbox(box) for box in boxes) or any(
            path.intersects_path(Path(other)) for other in self.lines.values()
        )


def _beside(size: Pair) -> Iterator[Pair]:
    """To the right of a point, left, above, below."""
    for direction in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        yield np.array(direction) * (_GAP + size / 2)


def _around(size: Pair) -> Iterator[Pair]:
    """In all directions, the nearest first."""
    for length in _LENGTHS:
        for turn in range(_DIRECTIONS):
            angle = 2 * math.pi * turn / _DIRECTIONS
            yield np.array([math.cos(angle), math.sin(angle)]) * (length + size / 2)
