"""PointMaze's rewards for data that were collected under other goals.

D4RL relabels from the current observation with a radius of 0.5 around a fixed goal, which puts
every reward one step late (Farama-Foundation/D4RL issue 194) and belongs to its own environment.
Here the goal is drawn anew at every reset, uniformly around the goal cell's centre, and the policy
does not see it. So a transition's reward is the evaluation environment's, from the next position,
in expectation over that draw: the exact reward of the problem the policy faces.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness.tasks.ids import RewardRule
from harness.tasks.mazes import maze_of
from harness.tasks.pointmaze import GOAL_NOISE, GOAL_RADIUS
from harness.tasks.spec import DatasetRef

Floats = NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)
_OFFSETS = GOAL_NOISE * _NODES  # of the goal from the centre, along one axis
_PROBABILITIES = _WEIGHTS / 2
_CHUNK = 50_000  # rows, to bound memory


def rewards(dataset: DatasetRef, next_observations: Floats) -> Floats:
    """The task's reward of each transition. next_observations [N, 4] -> [N]."""
    maze = maze_of(dataset.params)
    rule = _RULES[dataset.rewards]
    positions = next_observations[:, :2] - np.asarray(maze.centre(maze.goal))
    chunks = range(0, len(positions), _CHUNK)
    return np.concatenate([rule(positions[i : i + _CHUNK]) for i in chunks])


def _sparse(positions: Floats) -> Floats:
    """P(|x - g| <= radius): exact along y, Gauss-Legendre along x. [N, 2] -> [N]."""
    reward = np.zeros(len(positions))
    near = np.abs(positions).max(1) <= GOAL_RADIUS + GOAL_NOISE
    x, y = positions[near, 0, None], positions[near, 1, None]
    half_chord = np.sqrt(np.clip(GOAL_RADIUS**2 - (x - _OFFSETS) ** 2, 0, None))  # [near, nodes]
    low = np.clip(y - half_chord, -GOAL_NOISE, GOAL_NOISE)
    high = np.clip(y + half_chord, -GOAL_NOISE, GOAL_NOISE)
    reward[near] = ((high - low) / (2 * GOAL_NOISE)) @ _PROBABILITIES
    return reward


def _dense(positions: Floats) -> Floats:
    """E exp(-|x - g|), Gauss-Legendre along both axes. [N, 2] -> [N]."""
    reward = np.zeros(len(positions))
    for dx, px in zip(_OFFSETS, _PROBABILITIES, strict=True):
        for dy, py in zip(_OFFSETS, _PROBABILITIES, strict=True):
            distance = np.hypot(positions[:, 0] - dx, positions[:, 1] - dy)
            reward += px * py * np.exp(-distance)
    return reward


_RULES: dict[RewardRule, Callable[[Floats], Floats]] = {
    RewardRule.SPARSE_GOAL: _sparse,
    RewardRule.DENSE_GOAL: _dense,
}
