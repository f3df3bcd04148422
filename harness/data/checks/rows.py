"""Checks of packed rows, which are what training sees. Each returns sentences, none if all is well.

A sentence names the first place and how many there are; what to do is added by who reports it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from algorithms.transitions import Transitions
from harness.tasks.maze_floor import MazeFloor
from harness.tasks.spec import TaskSpec

_POINT_STEP = 0.01  # s of PointMaze
_POINT_ROUNDING = 1e-4  # of a position after a step, from observations rounded to float32
_OUTSIDE = 0.15  # a point this deep in a wall was not put there by physics (its radius is 0.1)


def named(
    task: TaskSpec, rows: Transitions, bad: NDArray[np.bool_], say: Callable[[int], str]
) -> list[str]:
    """One sentence on the first bad row, [N] to none; `say` gets its index."""
    places = np.flatnonzero(bad)
    if len(places) == 0:
        return []
    first, ends = int(places[0]), rows.episode_ends()
    episode = int(np.searchsorted(ends, first, side="right"))
    step = first - (int(ends[episode - 1]) if episode else 0)
    more = f" (and {len(places) - 1:,} more)" if len(places) > 1 else ""
    return [f"{task.dataset.id}: step {step} of episode {episode} {say(first)}{more}."]


def environment_dims(task: TaskSpec) -> tuple[int, int]:
    """How many numbers observations and actions of the task's environment have."""
    from harness.tasks import make_environment

    env = make_environment(task)
    obs_dim, action_dim = (
        int(np.prod(space.shape or ())) for space in (env.observation_space, env.action_space)
    )
    return obs_dim, action_dim


def dimensions(task: TaskSpec, rows: Transitions) -> list[str]:
    """Observations and actions are as long as those of the task's environment."""
    found, expected = (rows.obs_dim, rows.action_dim), environment_dims(task)
    if found == expected:
        return []
    return [
        f"{task.dataset.id}: observations and actions have {found[0]} and {found[1]} numbers, those"
        f" of {task.environment.id} {expected[0]} and {expected[1]}."
    ]


def finite(task: TaskSpec, rows: Transitions) -> list[str]:
    """No NaN and no infinity."""
    bad = np.asarray(~np.isfinite(rows.rows).all(axis=1))
    return named(task, rows, bad, lambda _: "has a NaN or an infinite number")


def action_bounds(task: TaskSpec, rows: Transitions) -> list[str]:
    """Actions are in [-1, 1]."""
    bad = np.asarray((np.abs(rows.actions) > 1).any(axis=1))

    def say(row: int) -> str:
        worst = rows.actions[row][np.abs(rows.actions[row]).argmax()]
        return f"has an action of {worst:g}, outside [-1, 1]"

    return named(task, rows, bad, say)


def boundaries(task: TaskSpec, rows: Transitions) -> list[str]:
    """An episode ends in a terminal or in a timeout and not in both, the last one too."""
    terminals, timeouts = rows.terminals, rows.timeouts
    flags = ~(np.isin(terminals, (0, 1)) & np.isin(timeouts, (0, 1)))
    both = (terminals > 0) & (timeouts > 0)
    unfinished = np.arange(len(rows)) == len(rows) - 1
    unfinished &= (terminals <= 0) & (timeouts <= 0)
    return [
        *named(task, rows, flags, lambda _: "has a terminal or timeout that is neither 0 nor 1"),
        *named(task, rows, both, lambda _: "ends in a terminal and in a timeout"),
        *named(task, rows, unfinished, lambda _: "is the last one and ends no episode"),
    ]


def continuity(task: TaskSpec, rows: Transitions) -> list[str]:
    """The next observation of a step is the observation of the step after it."""
    bad = np.zeros(len(rows), bool)
    bad[:-1] = (rows.next_observations[:-1] != rows.observations[1:]).any(1)
    bad[rows.episode_ends() - 1] = False
    return named(task, rows, bad, lambda _: "leads to another observation than the next step has")


def point_motion(task: TaskSpec, rows: Transitions) -> list[str]:
    """PointMaze: positions move by velocity, as its semi-implicit Euler steps make them.

    An observation that repeats the one before is let pass: D4RL's recipe records such.
    """
    if MazeFloor.of(task) is None or rows.obs_dim != 4:
        return []
    before, after = rows.observations.astype(np.float64), rows.next_observations.astype(np.float64)
    jump = np.abs(after[:, :2] - before[:, :2] - _POINT_STEP * after[:, 2:]).max(1)
    bad = (jump > _POINT_ROUNDING) & (before != after).any(1)
    return named(
        task, rows, bad, lambda row: f"jumps {jump[row]:.3g} m from where its velocity leads"
    )


def inside_maze(task: TaskSpec, rows: Transitions) -> list[str]:
    """PointMaze: positions are in cells without a wall."""
    floor = MazeFloor.of(task)
    if floor is None:
        return []
    walls, (width, height) = floor.walls, floor.size
    x, y = floor.places(rows.observations).T
    bad = np.ones(len(rows), bool)
    for dx in (-_OUTSIDE, _OUTSIDE):
        for dy in (-_OUTSIDE, _OUTSIDE):
            row = np.clip(np.nan_to_num(height / 2 - (y + dy)), 0, height - 1).astype(int)
            column = np.clip(np.nan_to_num(x + dx + width / 2), 0, width - 1).astype(int)
            bad &= walls[row, column]

    def say(row: int) -> str:
        return f"is inside a wall, at ({x[row]:.2f}, {y[row]:.2f})"

    return named(task, rows, bad, say)


CHECKS = (
    dimensions,
    finite,
    action_bounds,
    boundaries,
    continuity,
    point_motion,
    inside_maze,
)
