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
from harness.tasks.family import Family
from harness.tasks.ids import RewardRule, Semantics
from harness.tasks.options import sized_id, whole_numbers
from harness.tasks.reward_sign import D4RL_SIGN
from harness.tasks.spec import DatasetRef, TaskSpec

_LEVELS = ("human", "cloned", "expert")
_VERSION = 2


class MinariTasks(Family):
    """Public Minari datasets of D4RL's tasks."""

    def task_ids(self) -> list[str]:
        """PointMaze, the sparse ones first, then Adroit, hand by hand."""
        return [
            *(f"minari/{task_id}" for task_id in pointmaze.FAMILY.task_ids()),
            *(f"minari/adroit/{name}/{level}" for name in HANDS for level in _LEVELS),
        ]

    def build(self, task_id: str, options: Mapping[str, Any]) -> TaskSpec | None:
        """The spec of one of these tasks; `options` may hold `transitions`.

        None for an id that is not one. Raises UserError for an option that cannot be.
        """
        if task_id not in self.task_ids():
            return None
        if task_id.startswith("minari/pointmaze/"):
            return _maze(task_id, options)
        return _hand(task_id, options)


def _maze(task_id: str, options: Mapping[str, Any]) -> TaskSpec:
    base = pointmaze.FAMILY.build(task_id.removeprefix("minari/"), {})
    assert base is not None
    name = task_id.removeprefix("minari/pointmaze/")
    dense = name.endswith("-dense")
    rewards = RewardRule.DENSE_SEEN_GOAL if dense else RewardRule.SPARSE_SEEN_GOAL
    environment = base.environment.model_copy(
        update={"wrappers": ("point-goal",), "semantics": (Semantics.MINARI_POINTMAZE,)}
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
    base = adroit.FAMILY.build(f"local/{hand}/expert", {})
    assert base is not None
    semantics = (Semantics.D4RL, *base.environment.semantics, Semantics.PLAYED_BACK)
    rewards = D4RL_SIGN.get(hand, RewardRule.PEN_DROP)
    return base.model_copy(
        update={
            "id": task_id,
            "title": f"{HANDS[hand].title} {level}, Minari v{_VERSION}",
            "dataset": _dataset(task_id, "minari-remote", f"{hand}/{level}", rewards, options),
            "environment": base.environment.model_copy(update={"semantics": semantics}),
        }
    )


def _dataset(
    task_id: str, recipe: str, name: str, rewards: RewardRule, options: Mapping[str, Any]
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


FAMILY = MinariTasks()
