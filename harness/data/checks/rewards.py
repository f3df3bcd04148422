"""Rewards of packed rows recomputed from observations, as far as those tell. Sentences, as others.

Gym locomotion: forward speed is observed at a step's ends and not over it. PointMaze: the goal's
draw is averaged out by the recipe, and bounded here. Adroit: see `adroit_rewards`. Multimodal: in
closed form.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from algorithms.transitions import Transitions
from harness.data.checks.adroit_rewards import hand_of, palm_tenths, unexplained
from harness.data.checks.rows import named
from harness.tasks.d4rl_rules import DISTANCE
from harness.tasks.ids import RewardRule
from harness.tasks.mazes import maze_of
from harness.tasks.multimodal_geometry import ActionModes, turned_back
from harness.tasks.pointmaze import GOAL_NOISE, GOAL_RADIUS
from harness.tasks.spec import TaskSpec

_ROUNDING = 1e-5  # of float32 numbers up to about 10

# Gym: column of the forward velocity, weight of the control cost, healthy reward, and by how much a
# step's speed may differ from the mean of both ends (seen in the local data: 1.4, 0.2 and 0.3).
_RUNNERS = {
    "HalfCheetah": (8, 0.1, 0.0, 6.0),
    "Hopper": (5, 1e-3, 1.0, 1.5),
    "Walker2d": (8, 1e-3, 1.0, 1.5),
}
_TENTHS = {
    1: "a tenth of the palm's distance is added",
    -1: "a tenth of the palm's distance is subtracted",
    3: "three tenths of the palm's distance are added",
    -3: "three tenths of the palm's distance are subtracted",
}


def palm_term(task: TaskSpec, rows: Transitions) -> str:
    """Door, hammer and relocate: what rewards do with the palm's distance; else nothing."""
    hand = hand_of(task)
    if hand is None or hand == "pen":
        return ""
    tenths = palm_tenths(hand, rows)
    if tenths == 0:
        return "these data cannot tell whether the palm's distance is added or subtracted"
    if task.dataset.rewards != DISTANCE[hand]:
        return _TENTHS[tenths]
    recorded = _TENTHS.get(tenths + 2, "more of it is there than any version has")
    return f"{_TENTHS[tenths]}; before the conversion on load, {recorded}"


def adroit(task: TaskSpec, rows: Transitions) -> list[str]:
    """The palm's distance counts as in the task; the rest is what the next observation says."""
    hand = hand_of(task)
    if hand is None:
        return []
    expected = -1 if f"{hand}-distance" in task.environment.wrappers else 1
    if hand != "pen" and (tenths := palm_tenths(hand, rows)) not in (0, expected):
        return [
            f"{task.dataset.id}: in its rewards {_TENTHS[tenths]}, and where {task.id} is scored "
            f"{_TENTHS[expected]}, so it comes from another version than the task's rule is for."
        ]
    bad = unexplained(hand, expected, rows)
    return named(task, rows, bad, lambda row: _unlike(rows, row))


def locomotion(task: TaskSpec, rows: Transitions) -> list[str]:
    """Rewards are the forward speed, less the cost of actions, and 1 for being healthy."""
    body = task.environment.id.partition("-")[0]
    if body not in _RUNNERS:
        return []
    column, cost, healthy, tolerance = _RUNNERS[body]
    speed = (rows.observations[:, column] + rows.next_observations[:, column]) / 2
    rest = rows.rewards - speed + cost * (rows.actions**2).sum(1)
    # Versions differ in whether the step that falls is paid for being healthy.
    off = np.minimum(np.abs(rest - healthy), np.abs(rest - healthy * (1 - rows.terminals)))
    return named(task, rows, ~(off <= tolerance), lambda row: _unlike(rows, row))


def point_maze(task: TaskSpec, rows: Transitions) -> list[str]:
    """Rewards are between those of the nearest and the farthest goal that can be drawn."""
    if task.dataset.rewards not in (RewardRule.SPARSE_GOAL, RewardRule.DENSE_GOAL):
        return []
    maze = maze_of(task.dataset.params)
    centre = np.asarray(maze.centre(maze.goal))
    offset = np.abs(rows.next_observations[:, :2].astype(np.float64) - centre)
    nearest = np.linalg.norm(np.clip(offset - GOAL_NOISE, 0, None), axis=1)
    farthest = np.linalg.norm(offset + GOAL_NOISE, axis=1)
    low, high = _bounds(task.dataset.rewards == RewardRule.DENSE_GOAL, nearest, farthest)
    bad = ~((rows.rewards >= low - _ROUNDING) & (rows.rewards <= high + _ROUNDING))
    return named(task, rows, bad, lambda row: _unlike(rows, row))


def multimodal(task: TaskSpec, rows: Transitions) -> list[str]:
    """Rewards are the value of the action in closed form."""
    if task.dataset.rewards != RewardRule.MODE_VALUE:
        return []
    value = ActionModes.of(task).value(turned_back(rows.observations, rows.actions))
    bad = ~(np.abs(value - rows.rewards) <= _ROUNDING)
    return named(task, rows, bad, lambda row: _unlike(rows, row))


def _bounds(
    dense: bool, nearest: NDArray[np.float64], farthest: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if dense:
        return np.exp(-farthest), np.exp(-nearest)
    return (farthest <= GOAL_RADIUS).astype(float), (nearest <= GOAL_RADIUS).astype(float)


def _unlike(rows: Transitions, row: int) -> str:
    return f"has a reward of {rows.rewards[row]:g}, which is not what its observations say"


CHECKS = (adroit, locomotion, point_maze, multimodal)
