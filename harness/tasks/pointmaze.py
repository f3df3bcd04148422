"""PointMaze: drive a force-actuated point to a fixed goal, learning from play between all cells.

Environment: gymnasium-robotics 1.4.2, `PointMaze_{UMaze,Medium,Large,Open}[Dense]-v3`.
Scores are not D4RL's maze2d scores: physics, goal radius (0.45, not 0.5), goal noise and horizons
belong to gymnasium-robotics, and so do the reference scores. D4RL's own (minimum, maximum), from
d4rl/infos.py, for comparison only: maze2d-umaze-v1 (23.85, 161.86), medium-v1 (13.13, 277.39),
large-v1 (6.7, 273.99), open-v0 (0.01, 20.66); dense: umaze (68.54, 193.66),
medium (44.26, 297.46), large (30.57, 303.49), open (11.18, 27.17).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.errors import UserError
from harness.tasks.mazes import MAZES, Maze
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
_DATASET_ID = re.compile(r"pointmaze/(?P<maze>[a-z]+)(-(?P<size>\d+k?))?(-seed(?P<seed>\d+))?-v0")


def task_ids() -> list[str]:
    """Every PointMaze task, the sparse ones first."""
    return [f"pointmaze/{name}{kind}" for kind in ("", "-dense") for name in MAZES]


def build(task_id: str, options: Mapping[str, Any]) -> TaskSpec:
    """The spec of a known task id; `options` may hold `transitions` and `data_seed`.

    Raises UserError for an option that does not exist or cannot be.
    """
    allowed = ("transitions", "data_seed")
    for name, value in options.items():
        if name not in allowed:
            raise UserError(f"{task_id} has no option '{name}'; it takes {' and '.join(allowed)}.")
        lowest = 1 if name == "transitions" else 0
        if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
            raise UserError(
                f"{task_id}: option '{name}' must be a whole number of at least {lowest}, "
                f"found {value!r}."
            )
    transitions = options.get("transitions", DEFAULT_TRANSITIONS)
    seed = options.get("data_seed", 0)
    name = task_id.removeprefix("pointmaze/").removesuffix("-dense")
    return _spec(MAZES[name], task_id.endswith("-dense"), transitions, seed)


def task_of_dataset(dataset_id: str) -> TaskSpec | None:
    """The sparse task that learns from a dataset with this id, or None if it is not ours."""
    match = _DATASET_ID.fullmatch(dataset_id)
    if match is None or match["maze"] not in MAZES:
        return None
    size = match["size"]
    transitions = (
        DEFAULT_TRANSITIONS
        if size is None
        else int(size.removesuffix("k")) * (1000 if size.endswith("k") else 1)
    )
    if transitions < 1:
        return None
    return _spec(MAZES[match["maze"]], False, transitions, int(match["seed"] or 0))


def _spec(maze: Maze, dense: bool, transitions: int, seed: int) -> TaskSpec:
    suffix = "-dense" if dense else ""
    low, high = maze.dense if dense else maze.sparse
    return TaskSpec(
        id=f"pointmaze/{maze.name}{suffix}",
        title=f"PointMaze {maze.title}{' (dense)' if dense else ''}",
        suite="pointmaze",
        dataset=DatasetRef(
            id=_dataset_id(maze, transitions, seed),
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


def _dataset_id(maze: Maze, transitions: int, seed: int) -> str:
    size = ""
    if transitions != DEFAULT_TRANSITIONS:
        thousands, rest = divmod(transitions, 1000)
        size = f"-{transitions}" if rest else f"-{thousands}k"
    return f"pointmaze/{maze.name}{size}{f'-seed{seed}' if seed else ''}-v0"
