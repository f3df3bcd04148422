"""Where the point of a PointMaze is on its grid, whatever its observations count from (light)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from harness.tasks.mazes import D4RL_SHIFT
from harness.tasks.spec import TaskSpec

_WALL = 1  # in a `maze_map`
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class MazeFloor:
    """A maze of 1 x 1 cells centred on the origin, x to the right and y up.

    Attributes:
        grid: rows from the top, as gymnasium-robotics' `maze_map`.
        wrapper: which observations the task has.
    """

    grid: NDArray[Any]
    wrapper: str

    @classmethod
    def of(cls, task: TaskSpec) -> Self | None:
        """The floor of a task's maze; None for tasks without one."""
        grid = task.environment.kwargs.get("maze_map")
        known = {"point-state", "point-goal", "d4rl-maze"} & set(task.environment.wrappers)
        return cls(np.array(grid, dtype=object), known.pop()) if grid and known else None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.grid.shape[1], self.grid.shape[0]

    @property
    def walls(self) -> NDArray[np.bool_]:
        """True where a cell is a wall, [height, width]."""
        return np.array(self.grid == _WALL, bool)

    @property
    def is_all_seen(self) -> bool:
        """Whether observations are position and velocity, and no goal."""
        return self.wrapper != "point-goal"

    def places(self, observations: Floats) -> Floats:
        """[..., obs_dim] -> (x, y) [..., 2]."""
        if self.wrapper != "d4rl-maze":
            return observations[..., :2]
        row, column = observations[..., 0], observations[..., 1]
        right, up = self._d4rl_centre
        return np.stack([column - right, up - row], -1)

    def at_rest(self, squares: int) -> tuple[Floats, Floats]:
        """Places on the free cells, `squares` along a cell's side, and observations there.

        The point does not move. [N, 2] and [N, 4], where `is_all_seen`.
        """
        width, height = self.size
        inside = (np.arange(squares) + 0.5) / squares
        places = [
            (column - width / 2 + dx, height / 2 - row - dy)
            for (row, column), mark in np.ndenumerate(self.grid)
            if mark != _WALL
            for dy in inside
            for dx in inside
        ]
        x, y = np.array(places, np.float32).T
        right, up = self._d4rl_centre
        seen = (up - y, x + right) if self.wrapper == "d4rl-maze" else (x, y)
        observations = np.stack([*seen, np.zeros_like(x), np.zeros_like(x)], -1)
        return np.stack([x, y], -1), observations.astype(np.float32)

    @property
    def _d4rl_centre(self) -> tuple[float, float]:
        """D4RL's (column, row) of the origin: it counts cells from 0, and its point rests aside."""
        width, height = self.size
        return width / 2 - 0.5 - D4RL_SHIFT, height / 2 - 0.5 - D4RL_SHIFT
