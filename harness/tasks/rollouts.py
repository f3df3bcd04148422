"""Tasks on rollouts of a policy that the user brought: `rollout/<body or hand>/<policy>`.

They exist for any policy name, and so are not listed. The file is given once, with
`python -m harness data make --policy FILE`, which keeps a copy under the data root.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.tasks import adroit, gym_mujoco
from harness.tasks.family import Family
from harness.tasks.ids import RewardRule
from harness.tasks.options import parse_dataset_id, sized_id, whole_numbers
from harness.tasks.spec import DatasetRef, TaskSpec

ENVIRONMENTS = (*gym_mujoco.BODIES, *adroit.HANDS)
DEFAULT_TRANSITIONS = 100_000

_ID = re.compile(r"rollout/(?P<where>\w+)/(?P<policy>[a-z0-9][a-z0-9_-]*)(?P<mean>/deterministic)?")


def is_policy_name(name: str) -> bool:
    """Whether ids can hold it: it must not end like a size, a seed or a version."""
    named = _ID.fullmatch(f"rollout/x/{name}") is not None
    versioned = re.search(r"-v\d+$", name) is not None
    return named and not versioned and parse_dataset_id(f"{name}-v0") == (name, {})


def rollout_id(environment: str, policy: str, *, deterministic: bool) -> str:
    """The task that learns from this policy's episodes."""
    return f"rollout/{environment}/{policy}{'/deterministic' if deterministic else ''}"


class RolloutTasks(Family):
    """A task for every policy of the user."""

    def task_ids(self) -> list[str]:
        """None: there is a task for every policy."""
        return []

    def build(self, task_id: str, options: Mapping[str, Any]) -> TaskSpec | None:
        """The spec of a rollout's task; `options` may hold `transitions` and `data_seed`.

        None for an id that is not one. Raises UserError for an option that cannot be.
        """
        match = _ID.fullmatch(task_id)
        if (
            match is None
            or match["where"] not in ENVIRONMENTS
            or not is_policy_name(match["policy"])
        ):
            return None
        numbers = whole_numbers(task_id, options, {"transitions": 1, "data_seed": 0})
        transitions = numbers.get("transitions", DEFAULT_TRANSITIONS)
        seed = numbers.get("data_seed", 0)
        actions = "deterministic" if match["mean"] else "stochastic"
        base = _task_in(match["where"])
        title = base.title.partition(" (")[0]
        return base.model_copy(
            update={
                "id": task_id,
                "title": f"{title} ({match['policy']}, {actions})",
                "dataset": DatasetRef(
                    id=sized_id(
                        task_id, None if transitions == DEFAULT_TRANSITIONS else transitions, seed
                    ),
                    source="recipe",
                    recipe="policy-rollout",
                    params={
                        "policy": match["policy"],
                        "actions": actions,
                        "transitions": transitions,
                        "seed": seed,
                    },
                    rewards=RewardRule.AS_RECORDED,
                ),
            }
        )


def _task_in(environment: str) -> TaskSpec:
    """A task in the same environment."""
    task_id = f"local/{environment}/expert"
    task = gym_mujoco.FAMILY.build(task_id, {}) or adroit.FAMILY.build(task_id, {})
    assert task is not None
    return task


FAMILY = RolloutTasks()
