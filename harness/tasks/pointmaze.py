"""PointMaze: drive a force-actuated point to a fixed goal, learning from play between all cells.

Environment: gymnasium-robotics 1.4.2, `PointMaze_{UMaze,Medium,Large,Open}[Dense]-v3`.
Scores are not D4RL's maze2d scores: physics, goal radius (0.45, not 0.5), goal noise and horizons
belong to gymnasium-robotics, and so do the reference scores. D4RL's own (minimum, maximum), from
d4rl/infos.py, for comparison only: maze2d-umaze-v1 (23.85, 161.86), medium-v1 (13.13, 277.39),
large-v1 (6.7, 273.99), open-v0 (0.01, 20.66); dense: umaze (68.54, 193.66),
medium (44.26, 297.46), large (30.57, 303.49), open (11.18, 27.17).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.tasks.mazes import MAZES, Maze
from harness.tasks.options import sized_id, task_of_sized_id, whole_numbers
from harness.tasks.spec import DatasetRef, EnvironmentSpec, ReferenceScores, TaskSpec

DEFAULT_TRANSITIONS = 1_000_000
GOAL_RADIUS = 0.45  # of the environment's sparse reward and of its `success`

GOAL_NOISE = 0.25  # the goal is drawn this far from its cell's centre at most, in x and in y

# The reward rules by their text, which is what a run's hash covers.
_GOAL = f"a goal uniform within {GOAL_NOISE} of the goal cell's centre in x and y"
SPARSE = f"sparse: probability that the next position is within {GOAL_RADIUS} of {_GOAL}"
DENSE = f"dense: mean of exp(-distance) of the next position from {_GOAL}"

_SEMANTICS = (
    "The goal cell is fixed; at every reset the goal is drawn within 0.25 of its centre in x and y "
    "(position_noise_range, as in Minari's evaluation environment) and the point starts in "
    "another cell. The policy sees (x, y, vx, vy) and not the goal. Resting at the centre is "
    "always inside the sparse reward's radius (0.354 < 0.45), so sparse scores lose almost nothing "
    "to the noise; dense returns measure the distance to the unseen goal, which costs a policy "
    "that drives to the centre about a sixth of its return. Episodes never terminate: they end at "
    "the horizon, and arriving early and staying is what scores."
)
_SOURCE = (
    "metadata of the public Minari dataset D4RL/pointmaze/{maze}{dense}-v2 (second-hand: quoted by "
    "public code that reads it), which belongs to this environment; not D4RL's maze2d values"
)


def task_ids() -> list[str]:
    """Every PointMaze task, the sparse ones first."""
    return [f"pointmaze/{name}{kind}" for kind in ("", "-dense") for name in MAZES]


def build(task_id: str, options: Mapping[str, Any]) -> TaskSpec | None:
    """The spec of a PointMaze task; `options` may hold `transitions` and `data_seed`.

    None for an id that is not PointMaze's. Raises UserError for an option that cannot be.
    """
    if task_id not in task_ids():
        return None
    numbers = whole_numbers(task_id, options, {"transitions": 1, "data_seed": 0})
    name = task_id.removeprefix("pointmaze/").removesuffix("-dense")
    return _spec(
        MAZES[name],
        task_id.endswith("-dense"),
        numbers.get("transitions", DEFAULT_TRANSITIONS),
        numbers.get("data_seed", 0),
    )


def task_of_dataset(dataset_id: str) -> TaskSpec | None:
    """The sparse task that learns from a dataset with this id, or None if it is not ours."""
    return task_of_sized_id(build, dataset_id)


def _spec(maze: Maze, dense: bool, transitions: int, seed: int) -> TaskSpec:
    suffix = "-dense" if dense else ""
    low, high = maze.dense if dense else maze.sparse
    return TaskSpec(
        id=f"pointmaze/{maze.name}{suffix}",
        title=f"PointMaze {maze.title}{' (dense)' if dense else ''}",
        suite="pointmaze",
        dataset=DatasetRef(
            id=sized_id(
                f"pointmaze/{maze.name}",
                None if transitions == DEFAULT_TRANSITIONS else transitions,
                seed,
            ),
            source="recipe",
            recipe="pointmaze",
            params={"maze": maze.name, "transitions": transitions, "seed": seed},
            rewards=DENSE if dense else SPARSE,
        ),
        environment=EnvironmentSpec(
            id=f"PointMaze_{maze.title}{'Dense' if dense else ''}-v3",
            kwargs={
                "maze_map": [list(row) for row in maze.gymnasium_map(maze.goal)],
                "continuing_task": True,
                "reset_target": False,
            },
            wrappers=("point-state",),
            semantics=_SEMANTICS,
        ),
        horizon=maze.horizon,
        reference=ReferenceScores(
            min=low, max=high, source=_SOURCE.format(maze=maze.name, dense=suffix)
        ),
    )
