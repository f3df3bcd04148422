"""Public Minari datasets of D4RL's tasks: PointMaze v2, made anew, and Adroit v2, played back.

How Minari made them, read for facts: Farama-Foundation/minari-dataset-generation-scripts,
scripts/pointmaze/create_pointmaze_dataset.py @ fb65edb and scripts/D4RL/adroit @ 765bb14.
Environments, horizons and reference scores are those of `pointmaze` and `adroit`; only what the
policy sees of a maze differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.tasks import adroit, pointmaze
from harness.tasks.adroit import HANDS
from harness.tasks.d4rl_rules import PEN_DROP
from harness.tasks.options import sized_id, task_of_sized_id, whole_numbers
from harness.tasks.reward_sign import D4RL_SIGN
from harness.tasks.spec import DatasetRef, TaskSpec

_LEVELS = ("human", "cloned", "expert")
_VERSION = 2

_GOAL = "the goal in force, which is part of the observation"
SPARSE = f"as recorded: 1 where the next position is within 0.45 of {_GOAL}, else 0"
DENSE = f"as recorded: exp(-distance) of the next position from {_GOAL}"

_MAZE_SEMANTICS = (
    "as-shipped. Minari's evaluation environment of D4RL/pointmaze/{name}-v2: the goal cell is "
    "fixed; at every reset the goal is drawn within 0.25 of its centre in x and y and the point "
    "starts in another cell. The policy sees (x, y, vx, vy, goal x, goal y), which are "
    "`observation` and `desired_goal`; `achieved_goal` repeats x and y and is left out. It needs "
    "the goal, because in the data every episode has another one, drawn anew over all cells where "
    "the last episode ended, and rewards are for that goal. A recorded episode ends (truncated, "
    "not terminal) with the step that reaches its goal, so the data never show what staying there "
    "is worth, while evaluation goes on to the horizon and staying is what scores. The first "
    "observation of every recorded episode but the first still shows the last episode's goal "
    "(Minari issue 265); it is given its own. pointmaze/* differ: there the goal is not seen and "
    "rewards are for the evaluation goal."
)
_HAND_DATA = (
    " Data: the actions of D4RL's {hand}-{level}-v1, played back by Minari in gymnasium-robotics "
    "from D4RL's first state of every episode, so observations and rewards are today's engine's; "
    "rewards get D4RL's rules."
)


def task_ids() -> list[str]:
    """PointMaze, the sparse ones first, then Adroit, hand by hand."""
    return [
        *(f"minari/{task_id}" for task_id in pointmaze.task_ids()),
        *(f"minari/adroit/{name}/{level}" for name in HANDS for level in _LEVELS),
    ]


def build(task_id: str, options: Mapping[str, Any]) -> TaskSpec | None:
    """The spec of one of these tasks; `options` may hold `transitions`.

    None for an id that is not one. Raises UserError for an option that cannot be.
    """
    if task_id not in task_ids():
        return None
    if task_id.startswith("minari/pointmaze/"):
        return _maze(task_id, options)
    return _hand(task_id, options)


def task_of_dataset(dataset_id: str) -> TaskSpec | None:
    """The task that learns from a dataset with this id, or None if it is not one of these."""
    return task_of_sized_id(build, dataset_id)


def _maze(task_id: str, options: Mapping[str, Any]) -> TaskSpec:
    base = pointmaze.build(task_id.removeprefix("minari/"), {})
    assert base is not None
    name = task_id.removeprefix("minari/pointmaze/")
    rewards = DENSE if name.endswith("-dense") else SPARSE
    environment = base.environment.model_copy(
        update={"wrappers": ("point-goal",), "semantics": _MAZE_SEMANTICS.format(name=name)}
    )
    return base.model_copy(
        update={
            "id": task_id,
            "title": f"{base.title}, Minari v{_VERSION}",
            "dataset": _dataset(task_id, "minari-pointmaze", f"pointmaze/{name}", rewards, options),
            "environment": environment,
        }
    )


def _hand(task_id: str, options: Mapping[str, Any]) -> TaskSpec:
    _, _, hand, level = task_id.split("/")
    base = adroit.build(f"local/{hand}/expert", {})
    assert base is not None
    semantics = f"d4rl. {base.environment.semantics}{_HAND_DATA.format(hand=hand, level=level)}"
    rewards = D4RL_SIGN.get(hand, PEN_DROP)
    return base.model_copy(
        update={
            "id": task_id,
            "title": f"{HANDS[hand].title} {level}, Minari v{_VERSION}",
            "dataset": _dataset(task_id, "minari-remote", f"{hand}/{level}", rewards, options),
            "environment": base.environment.model_copy(update={"semantics": semantics}),
        }
    )


def _dataset(
    task_id: str, recipe: str, name: str, rewards: str, options: Mapping[str, Any]
) -> DatasetRef:
    """Minari's D4RL/<name>-v2, stored under the task's id and the same version."""
    limit = whole_numbers(task_id, options, {"transitions": 1})
    return DatasetRef(
        id=sized_id(task_id, limit.get("transitions"), version=_VERSION),
        source="minari-remote",
        recipe=recipe,
        params={"datasets": [f"D4RL/{name}-v{_VERSION}"], **limit},
        rewards=rewards,
    )
