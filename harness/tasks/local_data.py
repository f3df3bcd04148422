"""Datasets whose ids start with `local/`: the two ways they get here (light)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.tasks.ids import RewardRule
from harness.tasks.options import sized_id, whole_numbers
from harness.tasks.spec import DatasetRef


def imported(
    task_id: str, datasets: Sequence[str], rewards: RewardRule, options: Mapping[str, Any]
) -> DatasetRef:
    """Minari datasets that are on this machine, one after the other.

    `options` may hold `transitions`: the first whole episodes, an equal share of each dataset.
    Raises UserError for an option that cannot be.
    """
    limit = whole_numbers(task_id, options, {"transitions": 1})
    return DatasetRef(
        id=sized_id(task_id, limit.get("transitions")),
        source="minari",
        recipe="minari-import",
        params={"datasets": list(datasets), **limit},
        rewards=rewards,
    )


def rolled_out(
    task_id: str,
    policy: str,
    transitions: int,
    options: Mapping[str, Any],
    recipe: str = "policy-rollout",
    **fixed: int,
) -> DatasetRef:
    """Episodes made in the task's environment by a policy file: at three levels of noise.

    Or by another `recipe`, which takes the numbers `fixed`, too. `options` may hold `transitions`
    (instead of the number given) and `data_seed`. Raises UserError for an option that cannot be.
    """
    numbers = whole_numbers(task_id, options, {"transitions": 1, "data_seed": 0})
    asked, seed = numbers.get("transitions", transitions), numbers.get("data_seed", 0)
    return DatasetRef(
        id=sized_id(task_id, None if asked == transitions else asked, seed),
        source="recipe",
        recipe=recipe,
        params={"policy": policy, "transitions": asked, "seed": seed, **fixed},
        rewards=RewardRule.AS_RECORDED,
    )
