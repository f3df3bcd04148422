"""Names of points: all there, and none over another."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from harness.report.point_names import label_points
from harness.report.style import LineStyle, styled

LINE = LineStyle("#0072B2", "solid", 1.2)
Points = dict[str, tuple[float, float, LineStyle]]


def panel(points: Points) -> Axes:
    figure = Figure(figsize=(5.6, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.set_xlim(0.0, 10.0)
    axes.set_ylim(0.0, 100.0)
    for x, y, line in points.values():
        axes.plot(x, y, marker="o", markersize=4.5, color=line.colour)
    return axes


def boxes(axes: Axes) -> dict[str, Bbox]:
    """Where the names are, without the lines that lead to them, at the resolution of files."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.set_dpi(200)
    figure.draw_without_rendering()
    return {text.get_text(): Text.get_window_extent(text) for text in axes.texts}


@pytest.mark.parametrize("seed", range(3))
def test_crowded_points_all_have_a_name_and_none_covers_another_or_a_point(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = rng.normal((5.0, 50.0), (1.2, 16.0), (14, 2)).tolist()
    points = {f"method-{i}, steps {i}": (x, y, LINE) for i, (x, y) in enumerate(places)}
    with styled():
        axes = panel(points)
        assert label_points(axes, points) == []
        found = boxes(axes)
    assert found.keys() == points.keys()
    assert not any(a.overlaps(b) for a, b in itertools.combinations(found.values(), 2))
    spots = [axes.transData.transform(point[:2]) for point in points.values()]
    assert not any(box.contains(*spot) for box in found.values() for spot in spots)
    room = axes.get_window_extent()
    assert all(room.containsx(b.x0) and room.containsx(b.x1) for b in found.values())
    away = [text for text in axes.texts if getattr(text, "arrow_patch", None) is not None]
    assert away  # such that the points were crowded


def test_a_point_alone_has_its_name_beside_it_and_no_line() -> None:
    points = {"iql": (5.0, 50.0, LINE)}
    with styled():
        axes = panel(points)
        assert label_points(axes, points) == []
        box = boxes(axes)["iql"]
    assert getattr(axes.texts[0], "arrow_patch", None) is None
    x, y = axes.transData.transform((5.0, 50.0))
    assert 0 < box.x0 - x < 20
    assert box.y0 < y < box.y1


def test_a_name_for_which_there_is_no_room_is_told() -> None:
    points = {"iql": (5.0, 50.0, LINE), "x" * 200: (2.0, 20.0, LINE)}
    with styled():
        axes = panel(points)
        assert label_points(axes, points) == ["x" * 200]
    assert [text.get_text() for text in axes.texts] == ["iql"]
