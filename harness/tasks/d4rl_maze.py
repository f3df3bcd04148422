"""D4RL's maze2d environment in terms of gymnasium-robotics' PointMaze (imports gymnasium).

Both drive the same point through the same walls, seen along different axes: D4RL's positions are
(row, column) in cells, shifted because its point rests at 1.2 where its first cell's centre is at
1.0. Source read for facts: D4RL d4rl/pointmaze/maze_model.py @ 89141a6.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from harness.tasks.mazes import D4RL_SHIFT

_GOAL_RADIUS = 0.5  # of the sparse reward
_START_NOISE = 0.1  # uniform, of the first position
_START_SPEED = 0.1  # standard deviation of the first velocity

Floats = NDArray[np.float64]


class D4rlMaze(gym.Wrapper[NDArray[np.float32], Any, dict[str, Any], Any]):
    """Observations (row, column and their velocities), actions, starts, goal and reward of D4RL."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)
        robotics: Any = env.unwrapped
        maze = robotics.maze
        self._robotics = robotics
        self._centre = np.array([maze.y_map_center, maze.x_map_center]) - 0.5 - D4RL_SHIFT
        cells = np.array([[mark != 1 for mark in row] for row in maze.maze_map])
        self._starts = np.argwhere(cells)
        (self._goal,) = np.argwhere([[mark == "g" for mark in row] for row in maze.maze_map])

    def reset(self, **kwargs: Any) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start at any free cell, the goal's too, as D4RL does."""
        self.env.reset(**kwargs)
        cell = self._starts[self.np_random.integers(len(self._starts))]
        place = cell + self.np_random.uniform(-_START_NOISE, _START_NOISE, 2)
        self.set_state(place, _START_SPEED * self.np_random.standard_normal(2))
        return self._state().astype(np.float32), {"success": self._distance() <= _GOAL_RADIUS}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """The reward is that of the position after the step, as in D4RL's environment."""
        along_row, along_column = action
        *_, truncated, info = self.env.step(np.array([along_column, -along_row]))
        distance = self._distance()
        within = distance <= _GOAL_RADIUS
        reward = np.exp(-distance) if self._robotics.reward_type == "dense" else within
        state = self._state().astype(np.float32)
        return state, float(reward), False, truncated, info | {"success": bool(within)}

    def set_state(self, place: Floats, velocity: Floats) -> None:
        """Put the point at (row, column) in D4RL's coordinates, moving so fast. [2], [2]."""
        row, column = place
        position = np.array([column - self._centre[1], self._centre[0] - row])
        self._robotics.point_env.set_state(position, np.array([velocity[1], -velocity[0]]))

    def _state(self) -> Floats:
        data = self._robotics.point_env.data
        (x, y), (x_speed, y_speed) = data.qpos, data.qvel
        return np.array([self._centre[0] - y, self._centre[1] + x, -y_speed, x_speed])

    def _distance(self) -> float:
        return float(np.linalg.norm(self._state()[:2] - self._goal))
