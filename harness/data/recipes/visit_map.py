"""Where PointMaze data go, in text."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.tasks.mazes import Maze


def visit_map(maze: Maze, positions: np.ndarray[Any, np.dtype[np.float32]]) -> str:
    """The maze in text: walls as ####, and in every other cell its share of steps in percent.

    positions [N, 2] of x and y.
    """
    cells = [maze.cell(x, y) for x, y in positions.tolist()]
    visited, counts = np.unique(np.asarray(cells), axis=0, return_counts=True)
    share = {tuple(cell): count / len(cells) for cell, count in zip(visited, counts, strict=True)}
    lines = []
    for row, line in enumerate(maze.grid):
        marks = []
        for column, mark in enumerate(line):
            percent = f"{100 * share.get((row, column), 0):.0f}"
            if (row, column) == maze.goal:
                percent = f"[{percent}]"
            marks.append("####" if mark == "#" else f"{percent:^4}")
        lines.append("".join(marks))
    return "\n".join(lines)
