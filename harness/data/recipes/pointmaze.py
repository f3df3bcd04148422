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

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from algorithms.engine.seeding import derive_seed
from algorithms.transitions import Transitions
from harness.data.minari_format import EpisodeArrays
from harness.data.parallel import in_order
from harness.data.recipe import Origin, Recipe
from harness.data.recipes import point_rewards
from harness.data.recipes.point_physics import PointPhysics, collection_environment
from harness.data.recipes.visit_map import visit_map
from harness.data.recipes.waypoints import WaypointController
from harness.tasks.environment import make_unwrapped
from harness.tasks.mazes import Cell, Maze, maze_of
from harness.tasks.pointmaze import GOAL_RADIUS
from harness.tasks.spec import TaskSpec

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


def drive(maze: Maze, seed: int, shard: int, steps: int) -> Shard:
    """Make one shard of `steps` steps; the same arguments give the same bytes in any process."""
    stream = ("data", "pointmaze", maze.name, seed, shard)
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


def shards(maze: Maze, transitions: int, seed: int, workers: int | None = None) -> Iterator[Shard]:
    """All shards in order, made by `workers` processes (None: one a core)."""
    sizes = [min(SHARD_STEPS, transitions - start) for start in range(0, transitions, SHARD_STEPS)]
    jobs = [(maze, seed, shard, steps) for shard, steps in enumerate(sizes)]
    return in_order(drive, jobs, workers)


class PointMaze(Recipe):
    """The recipe, for any of the mazes."""

    # The commanded goals' rewards are stored, but a task's are for its own goal.
    inputs = ("observations/observation", "actions", "terminations", "truncations")
    makes_small = True

    def episodes(
        self, task: TaskSpec, workers: int | None, progress: Callable[[int], None]
    ) -> Iterator[EpisodeArrays]:
        """Every goal-to-goal piece."""
        params, done = task.dataset.params, 0
        transitions, seed = params["transitions"], params["seed"]
        assert isinstance(transitions, int)
        assert isinstance(seed, int)
        for shard in shards(maze_of(params), transitions, seed, workers):
            done += len(shard.actions)
            progress(done)
            yield from shard.episodes()

    def constants(self, task: TaskSpec) -> dict[str, JsonValue]:
        """The numbers that are fixed in this file."""
        return {"action_noise": ACTION_NOISE, "shard": SHARD_STEPS}

    def origin(self, task: TaskSpec) -> Origin:
        """For Minari's metadata."""
        maze, params = maze_of(task.dataset.params), task.dataset.params
        return Origin(
            algorithm="waypoint controller (breadth-first plan, PD law)",
            text=(
                "LOCAL, not a download of the public dataset: D4RL's maze2d recipe rerun in "
                f"gymnasium-robotics' {maze.title} maze, {params['transitions']} steps, action "
                f"noise N(0, {ACTION_NOISE}^2), seed {params['seed']}. A new goal on arrival "
                "or after the horizon, no reset in between; every goal-to-goal piece is one "
                "episode that ends in a truncation."
            ),
            environment=make_unwrapped(collection_environment(maze), maze.horizon),
            requirements=("gymnasium-robotics", "mujoco"),
        )

    def rewards(self, task: TaskSpec, columns: EpisodeArrays) -> Floats:
        """The evaluation environment's, in expectation over the goals it draws."""
        return point_rewards.rewards(task.dataset, columns["next_observations"])

    def details(self, task: TaskSpec, data: Transitions) -> str:
        """A map of where the steps are."""
        maze = maze_of(task.dataset.params)
        title = "percent of steps in each cell (the goal's in brackets)"
        return f"{title}\n{visit_map(maze, data.observations[:, :2])}"


RECIPE = PointMaze()
