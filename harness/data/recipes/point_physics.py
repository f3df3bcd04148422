"""PointMaze's simulation without the layers of an environment around it."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from harness.data.recipes.waypoints import Point
from harness.tasks.environment import make_unwrapped
from harness.tasks.mazes import Maze
from harness.tasks.spec import EnvironmentSpec

MAX_SPEED = 5.0  # the environment clips velocities to this before every step

Floats = NDArray[np.float64]


def collection_environment(maze: Maze) -> EnvironmentSpec:
    """Where the data are made: the maze without a fixed goal cell."""
    return EnvironmentSpec(
        id=f"PointMaze_{maze.registered}-v3",
        kwargs={
            "maze_map": [list(row) for row in maze.gymnasium_map()],
            "continuing_task": True,
            "reset_target": False,
        },
        wrappers=(),
        semantics=(),
    )


class PointPhysics:
    """The environment's physics without its wrappers: the same bits in less than half the time."""

    def __init__(self, maze: Maze) -> None:
        env = make_unwrapped(collection_environment(maze), maze.horizon)
        point = env.unwrapped.point_env  # type: ignore[attr-defined]
        self._model, self._data = point.model, point.data

    def reset(self, position: Point) -> Floats:
        """Put the point to rest at a position. -> [4] x, y, vx, vy."""
        mujoco.mj_resetData(self._model, self._data)
        self._data.qpos[:] = position
        mujoco.mj_forward(self._model, self._data)
        return self._state()

    def step(self, action: NDArray[np.float32]) -> Floats:
        """One control step of 0.01 s. action [2] -> [4] x, y, vx, vy."""
        data = self._data
        np.clip(data.qvel, -MAX_SPEED, MAX_SPEED, out=data.qvel)
        # The environment does this after clipping, so its solver starts where this leaves it.
        mujoco.mj_forward(self._model, data)
        data.ctrl[:] = action
        mujoco.mj_step(self._model, data)
        return self._state()

    def _state(self) -> Floats:
        return np.concatenate([self._data.qpos, self._data.qvel])
