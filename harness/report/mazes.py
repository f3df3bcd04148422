"""Mazes seen from above, for whatever is drawn on their floor."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from harness.tasks.maze_floor import MazeFloor

_WALL = "#B9BEC6"
_GOAL = "#C00000"


def draw_floor(axes: Axes, floor: MazeFloor) -> None:
    """The walls and the goal's cell, in axes without ticks; cells are squares."""
    width, height = floor.size
    for (row, column), mark in np.ndenumerate(floor.grid):
        corner = (column - width / 2, height / 2 - row - 1)
        if mark == 1:
            axes.add_patch(Rectangle(corner, 1, 1, facecolor=_WALL, edgecolor="none"))
        elif mark == "g":
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=_GOAL, zorder=3))
    axes.set_xlim(-width / 2, width / 2)
    axes.set_ylim(-height / 2, height / 2)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)
