"""D4RL's maze2d: its own data, and its environment rebuilt on gymnasium-robotics' PointMaze.

Sources read for facts: D4RL d4rl/pointmaze/{__init__,maze_model}.py @ 89141a6. Its four grids and
goal cells are those of `mazes`; horizons, starts, goal radius and coordinates are not.

Uniformly random actions get, sparse and dense, with standard errors: umaze 28.2 ± 2.9, 71.8 ± 2.8;
medium 13.5 ± 3.6, 38.2 ± 5.2; large 6.6 ± 2.4, 32.5 ± 6.3: D4RL's minima. In the open maze they get
8.8 ± 1.5 and 39.3 ± 1.3, not D4RL's 0.01 and 11.2, and the latter is above D4RL's maximum of 27.2:
its references for that maze cannot belong to the environment it ships.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.tasks.d4rl_files import published
from harness.tasks.local_data import D4RL_SOURCE
from harness.tasks.mazes import MAZES
from harness.tasks.options import task_of_sized_id
from harness.tasks.spec import EnvironmentSpec, ReferenceScores, TaskSpec


@dataclass(frozen=True)
class _Maze2d:
    """What D4RL says of a maze.

    Attributes:
        version: D4RL's newest, of both the sparse and the dense data.
        horizon: steps of an evaluation episode.
        sparse: reference returns (minimum, maximum) of the sparse reward.
        dense: the same of the dense reward.
    """

    version: int
    horizon: int
    sparse: tuple[float, float]
    dense: tuple[float, float]


_MAZES = {
    "umaze": _Maze2d(1, 300, (23.85, 161.86), (68.537689, 193.66285642381482)),
    "medium": _Maze2d(1, 600, (13.13, 277.39), (44.264742, 297.4552547777125)),
    "large": _Maze2d(1, 800, (6.7, 273.99), (30.569041, 303.4857382709002)),
    "open": _Maze2d(0, 150, (0.01, 20.66), (11.17817, 27.166538620695782)),
}
_REWARDS = (
    "as recorded. D4RL's files give a step the reward of its own observation, not of the next one "
    "as the environment does (D4RL issue 194); published results learnt from them, so they stay"
)
_SEMANTICS = (
    "d4rl. D4RL's maze2d-{name}-v{version} rebuilt on gymnasium-robotics 1.4.2's PointMaze, whose "
    "model has D4RL's parameters (force, damping, masses, walls, time step; speed clipped to 5), "
    "in MuJoCo 4 instead of mujoco-py's 2.0. D4RL's coordinates: observations are row, column and "
    "their velocities, actions the forces along them, and a cell's centre lies at its row and "
    "column minus 0.2. D4RL's task: starts at any free cell's number, the goal's too, ±0.1, with "
    "velocities of N(0, 0.1²); the goal is the goal cell's number, without noise, and not "
    "observed; reward of the next position, {reward}; no termination, {horizon} steps. Known "
    "differences: the engine's version, and which random numbers starts are drawn from."
)
_OPEN = (
    " D4RL's references of the open maze do not fit D4RL's own task: random actions score about 43 "
    "(sparse) and 176 (dense) with them, so its scores compare methods with each other only."
)
_SPARSE, _DENSE = "1 within 0.5 of the goal and else 0", "exp(-distance to the goal)"


def task_ids() -> list[str]:
    """Every maze2d task, the sparse ones first."""
    return [f"maze2d/{name}{kind}" for kind in ("", "-dense") for name in _MAZES]


def build(task_id: str, options: Mapping[str, Any]) -> TaskSpec | None:
    """The spec of a maze2d task; `options` may hold `transitions`.

    None for an id that is not one. Raises UserError for an option that cannot be.
    """
    if task_id not in task_ids():
        return None
    variant = task_id.removeprefix("maze2d/")
    name, dense = variant.removesuffix("-dense"), variant.endswith("-dense")
    d4rl, maze = _MAZES[name], MAZES[name]
    low, high = d4rl.dense if dense else d4rl.sparse
    kind = "dense" if dense else "sparse"
    file = f"maze2d/maze2d-{name}-{kind}{f'-v{d4rl.version}' if d4rl.version else ''}.hdf5"
    return TaskSpec(
        id=task_id,
        title=f"Maze2d {maze.title} {kind} (D4RL v{d4rl.version})",
        suite="maze2d",
        dataset=published(task_id, d4rl.version, file, _REWARDS, options),
        environment=EnvironmentSpec(
            id=f"PointMaze_{maze.title}{'Dense' if dense else ''}-v3",
            kwargs={
                "maze_map": [list(row) for row in maze.gymnasium_map(maze.goal)],
                "continuing_task": True,
                "reset_target": False,
            },
            wrappers=("d4rl-maze",),
            semantics=_SEMANTICS.format(
                name=variant,
                version=d4rl.version,
                reward=_DENSE if dense else _SPARSE,
                horizon=d4rl.horizon,
            )
            + (_OPEN if name == "open" else ""),
        ),
        horizon=d4rl.horizon,
        reference=ReferenceScores(
            min=low, max=high, source=f"{D4RL_SOURCE}, maze2d-{variant}-v{d4rl.version}"
        ),
    )


def task_of_dataset(dataset_id: str) -> TaskSpec | None:
    """The task that learns from a dataset with this id, or None if it is not maze2d's."""
    return task_of_sized_id(build, dataset_id)
