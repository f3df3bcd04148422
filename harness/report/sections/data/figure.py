"""The figure of a dataset's card: returns, lengths, actions at a limit, and where steps are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from harness.data.facts import RowFacts
from harness.report.mazes import draw_floor
from harness.report.style import save, styled
from harness.tasks.maze_floor import MazeFloor
from harness.tasks.spec import TaskSpec

_BARS = "#5C6470"
_LOW, _HIGH = "#A9B2BF", "#3F4652"
_BINS = 40
_SEEN = 0.001  # share of steps that a bar can be seen of
_A_CELL = 16  # squares of the map along a cell's side


def data_figure(
    task: TaskSpec, rows: Any, facts: RowFacts, stem: Path, warning: str = ""
) -> list[Path]:
    """Write `<stem>.png|pdf` of packed rows (`Transitions`); every step counts.

    `warning` is printed above, where the data stand in for others.
    """
    floor = MazeFloor.of(task)
    with styled():
        figure = Figure(figsize=(8.6, 2.2), layout="constrained")
        widths = [1.0, 1.0, 1.0, 1.05] if floor else [1.0, 1.0, 1.3]
        panels = figure.subplots(1, len(widths), width_ratios=widths)
        _histogram(panels[0], facts.returns, "Return of an episode")
        _histogram(panels[1], facts.lengths, "Steps of an episode")
        _limits(panels[2], facts)
        if floor:
            _map(panels[3], floor, rows.observations)
        if warning:
            figure.suptitle(warning, color="#C00000", weight="bold")
        return save(figure, stem)


def _histogram(axes: Axes, values: NDArray[Any], title: str) -> None:
    low, high = float(values.min()), float(values.max())
    if low == high:
        axes.bar([low], [len(values)], width=max(1.0, abs(low)) / 20, color=_BARS)
        axes.set_xticks([low], [f"{low:g}"])
        axes.set_xlim(low - max(1.0, abs(low)) / 2, low + max(1.0, abs(low)) / 2)
    else:
        axes.hist(values, bins=_BINS, color=_BARS)
        axes.axvline(float(values.mean()), color="black", linewidth=0.8, linestyle=(0, (3, 2)))
        axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_title(title)
    axes.set_ylabel("Episodes")
    axes.grid(True, axis="y")


def _limits(axes: Axes, facts: RowFacts) -> None:
    index = np.arange(len(facts.at_low))
    axes.bar(index, 100 * facts.at_low, color=_LOW, label="at -1")
    axes.bar(index, 100 * facts.at_high, bottom=100 * facts.at_low, color=_HIGH, label="at 1")
    axes.set_title("Actions at a limit")
    axes.set_xlabel("Action")
    axes.set_ylabel("Steps (%)")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlim(-0.6, len(index) - 0.4)
    most = float((facts.at_low + facts.at_high).max())
    axes.set_ylim(0, max(1.0, 125 * most))
    axes.grid(True, axis="y")
    if most >= _SEEN:
        axes.legend(loc="upper right", ncols=2, handlelength=0.9, columnspacing=0.9)
    else:
        few = f"less than {100 * _SEEN:g}%" if most else "none"
        axes.text(0.5, 0.5, few, transform=axes.transAxes, ha="center", va="center")


def _map(axes: Axes, floor: MazeFloor, observations: NDArray[np.float32]) -> None:
    width, height = floor.size
    draw_floor(axes, floor)
    x, y = floor.places(observations).T
    counts, x_edges, y_edges = np.histogram2d(
        x,
        y,
        bins=(width * _A_CELL, height * _A_CELL),
        range=((-width / 2, width / 2), (-height / 2, height / 2)),
    )
    shown = np.ma.masked_equal(counts.T, 0)
    axes.pcolormesh(
        x_edges, y_edges, shown, norm=LogNorm(), cmap="viridis", rasterized=True, zorder=2
    )
    axes.set_title("Where the steps are")
