"""PointMaze play data by D4RL's maze2d recipe, in gymnasium-robotics' physics.

A point is driven from goal to goal by a noisy waypoint controller and never reset; a new goal is
drawn on arrival or after the horizon, and each goal-to-goal piece is one episode that ends in a
truncation. Source read for facts: D4RL scripts/generation/generate_maze2d_datasets.py @ 89141a6.

Deviations:
* Goals are centres of cells other than the point's own. D4RL also draws the point's own cell (an
  episode of one step) and records the goal with a noise of 0.1 that its controller never sees.
* After a new goal D4RL records the previous observation once more; here observations are current.
* Data are made in shards of `SHARD_STEPS`, each from a fresh position with its own random streams:
  the number of workers never changes a byte, and a small dataset is the start of a larger one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from algorithms.seeding import derive_seed
from harness.data.minari_format import EpisodeArrays
from harness.data.recipes.point_physics import PointPhysics
from harness.data.recipes.waypoints import WaypointController
from harness.tasks.mazes import MAZES, Cell
from harness.tasks.pointmaze import GOAL_RADIUS

SHARD_STEPS = 50_000
# D4RL's `--noisy`; whether its released files used it cannot be told from them, Minari's always do.
ACTION_NOISE = 0.5  # standard deviation, added to clipped actions which are then clipped again
START_NOISE = 0.25  # of a shard's first position, as the environment resets

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Shard:
    """One uninterrupted drive of `n` steps.

    Attributes:
        states: [n + 1, 4] x, y, vx, vy.
        actions: [n, 2].
        goals: [n, 2] where the controller was heading.
        ends: number of steps done at the end of each episode; the last entry is `n`.
    """

    states: Floats
    actions: NDArray[np.float32]
    goals: Floats
    ends: list[int]

    def episodes(self) -> Iterator[EpisodeArrays]:
        """The goal-to-goal pieces as Minari episodes, rewarded for the commanded goal."""
        for start, end in zip([0, *self.ends], self.ends, strict=False):
            states, goal = self.states[start : end + 1], self.goals[start]
            positions, goals = states[:, :2], np.tile(goal, (len(states), 1))
            success = np.linalg.norm(positions - goal, axis=1) <= GOAL_RADIUS
            truncations = np.zeros(end - start, np.bool_)
            truncations[-1] = True
            yield {
                "observations/observation": states,
                "observations/achieved_goal": positions,
                "observations/desired_goal": goals,
                "actions": self.actions[start:end],
                "rewards": success[1:].astype(np.float64),
                "terminations": np.zeros(end - start, np.bool_),
                "truncations": truncations,
                "infos/success": success,
                "infos/qpos": positions,
                "infos/qvel": states[:, 2:],
                "infos/goal": goals,
            }


def drive(maze_name: str, seed: int, shard: int, steps: int) -> Shard:
    """Make one shard of `steps` steps; the same arguments give the same bytes in any process."""
    maze = MAZES[maze_name]
    stream = ("data", "pointmaze", maze_name, seed, shard)
    goal_rng = np.random.default_rng(derive_seed(*stream, "goals"))
    noise_rng = np.random.default_rng(derive_seed(*stream, "action noise"))
    noise = ACTION_NOISE * noise_rng.standard_normal((steps, 2))
    physics, controller = PointPhysics(maze), WaypointController(maze, goal_rng)

    x, y = maze.centre(_draw(maze.free_cells(), goal_rng))
    dx, dy = goal_rng.uniform(-START_NOISE, START_NOISE, size=2)
    states = np.empty((steps + 1, 4))
    actions = np.empty((steps, 2), np.float32)
    goals = np.empty((steps, 2))
    ends: list[int] = []
    states[0] = physics.reset((x + dx, y + dy))
    begun, goal = 0, (0.0, 0.0)
    for i in range(steps):
        x, y, vx, vy = states[i].tolist()
        if i == begun:
            here = maze.cell(x, y)
            cell = _draw([c for c in maze.free_cells() if c != here], goal_rng)
            controller.head_for(cell, (x, y))
            goal = maze.centre(cell)
        action, arrived = controller.act((x, y), (vx, vy))
        actions[i] = np.clip(action + noise[i], -1.0, 1.0)
        goals[i] = goal
        states[i + 1] = physics.step(actions[i])
        if arrived or i + 1 - begun == maze.horizon or i + 1 == steps:
            begun = i + 1
            ends.append(begun)
    return Shard(states, actions, goals, ends)


def _draw(cells: list[Cell], rng: np.random.Generator) -> Cell:
    return cells[int(rng.integers(len(cells)))]


def shards(
    maze_name: str,
    transitions: int,
    seed: int,
    *,
    workers: int | None,
    progress: Callable[[int], None],
) -> Iterator[Shard]:
    """All shards in order, made by `workers` processes (None: one a core).

    `progress` hears the number of steps done.
    """
    sizes = [min(SHARD_STEPS, transitions - start) for start in range(0, transitions, SHARD_STEPS)]
    workers = min(workers or os.cpu_count() or 1, len(sizes))
    arguments = (
        [maze_name] * len(sizes),
        [seed] * len(sizes),
        range(len(sizes)),
        sizes,
    )
    if workers == 1:
        made = map(drive, *arguments)
        yield from _count(made, progress)
        return
    # Spawned, not forked: the parent may hold threads (torch, Ray) that a fork would break.
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _leave_interrupts_to_the_parent)
    try:
        yield from _count(pool.map(drive, *arguments), progress)
    finally:
        pool.shutdown(cancel_futures=True)


def _count(made: Iterator[Shard], progress: Callable[[int], None]) -> Iterator[Shard]:
    done = 0
    for shard in made:
        done += len(shard.actions)
        progress(done)
        yield shard


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
