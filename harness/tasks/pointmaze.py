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

from pydantic import JsonValue

from harness.tasks.family import Family
from harness.tasks.ids import RewardRule, Scale, Semantics, Source
from harness.tasks.mazes import MAZES, Maze
from harness.tasks.options import sized_id, whole_numbers
from harness.tasks.spec import DatasetRef, EnvironmentSpec, ReferenceScores, TaskSpec

DEFAULT_TRANSITIONS = 1_000_000
GOAL_RADIUS = 0.45  # of the environment's sparse reward and of its `success`

GOAL_NOISE = 0.25  # the goal is drawn this far from its cell's centre at most, in x and in y


class PointMazeTasks(Family):
    """PointMaze on play data made here."""

    def task_ids(self) -> list[str]:
        """Every PointMaze task, the sparse ones first."""
        return [f"pointmaze/{name}{kind}" for kind in ("", "-dense") for name in MAZES]

    def build(self, task_id: str, options: Mapping[str, Any]) -> TaskSpec | None:
        """The spec of a PointMaze task; `options` may hold `transitions` and `data_seed`.

        None for an id that is not PointMaze's. Raises UserError for an option that cannot be.
        """
        if task_id not in self.task_ids():
            return None
        numbers = whole_numbers(task_id, options, {"transitions": 1, "data_seed": 0})
        name = task_id.removeprefix("pointmaze/").removesuffix("-dense")
        return _shipped(
            MAZES[name],
            task_id.endswith("-dense"),
            numbers.get("transitions", DEFAULT_TRANSITIONS),
            numbers.get("data_seed", 0),
        )


def play_task(
    maze: Maze,
    *,
    task_id: str,
    title: str,
    dense: bool,
    dataset_id: str,
    params: dict[str, JsonValue],
    reference: ReferenceScores,
    scale: Scale,
    description: str = "",
) -> TaskSpec:
    """A task in a maze, on data that the recipe makes from `params`."""
    return TaskSpec(
        id=task_id,
        title=title,
        family=task_id.partition("/")[0],
        dataset=DatasetRef(
            id=dataset_id,
            source="recipe",
            recipe="pointmaze",
            params=params,
            rewards=RewardRule.DENSE_GOAL if dense else RewardRule.SPARSE_GOAL,
        ),
        environment=EnvironmentSpec(
            id=f"PointMaze_{maze.registered}{'Dense' if dense else ''}-v3",
            kwargs={
                "maze_map": [list(row) for row in maze.gymnasium_map(maze.goal)],
                "continuing_task": True,
                "reset_target": False,
            },
            wrappers=("point-state",),
            semantics=(Semantics.POINTMAZE,),
        ),
        horizon=maze.horizon,
        reference=reference,
        scale=scale,
        description=description,
    )


def _shipped(maze: Maze, dense: bool, transitions: int, seed: int) -> TaskSpec:
    """The task in one of gymnasium-robotics' own mazes."""
    name = f"{maze.name}{'-dense' if dense else ''}"
    low, high = maze.dense if dense else maze.sparse
    asked = None if transitions == DEFAULT_TRANSITIONS else transitions
    return play_task(
        maze,
        task_id=f"pointmaze/{name}",
        title=f"PointMaze {maze.title}{' (dense)' if dense else ''}",
        dense=dense,
        dataset_id=sized_id(f"pointmaze/{maze.name}", asked, seed),
        params={"maze": maze.name, "transitions": transitions, "seed": seed},
        reference=ReferenceScores(min=low, max=high, source=Source.MINARI_METADATA, entry=name),
        scale=Scale.AS_SHIPPED,
    )


FAMILY = PointMazeTasks()
