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
from harness.tasks.family import Family
from harness.tasks.ids import RewardRule, Scale, Semantics, Source
from harness.tasks.mazes import MAZES
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


class Maze2dTasks(Family):
    """D4RL's maze2d."""

    def task_ids(self) -> list[str]:
        """Every maze2d task, the sparse ones first."""
        return [f"maze2d/{name}{kind}" for kind in ("", "-dense") for name in _MAZES]

    def build(self, task_id: str, options: Mapping[str, Any]) -> TaskSpec | None:
        """The spec of a maze2d task; `options` may hold `transitions`.

        None for an id that is not one. Raises UserError for an option that cannot be.
        """
        if task_id not in self.task_ids():
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
            family="maze2d",
            dataset=published(task_id, d4rl.version, file, RewardRule.STEP_LATE, options),
            environment=EnvironmentSpec(
                id=f"PointMaze_{maze.title}{'Dense' if dense else ''}-v3",
                kwargs={
                    "maze_map": [list(row) for row in maze.gymnasium_map(maze.goal)],
                    "continuing_task": True,
                    "reset_target": False,
                },
                wrappers=("d4rl-maze",),
                semantics=(
                    Semantics(f"maze2d-{kind}"),
                    *([Semantics.MAZE2D_OPEN] if name == "open" else []),
                ),
            ),
            horizon=d4rl.horizon,
            reference=ReferenceScores(
                min=low,
                max=high,
                source=Source.D4RL_INFOS,
                entry=f"maze2d-{variant}-v{d4rl.version}",
            ),
            scale=Scale.D4RL,
        )


FAMILY = Maze2dTasks()
