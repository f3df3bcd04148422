"""Tasks with stand-in data, for smoke runs without the real ones (light)."""

from __future__ import annotations

from harness.tasks.ids import RewardRule
from harness.tasks.options import sized_id
from harness.tasks.spec import DatasetRef, TaskSpec


def with_stand_in(task: TaskSpec, transitions: int) -> TaskSpec:
    """The task, learning from random actions in its own environment; its title says so."""
    dataset = DatasetRef(
        id=sized_id(f"stand-in/{task.id}", transitions),
        source="recipe",
        recipe="stand-in",
        params={"transitions": transitions},
        rewards=RewardRule.AS_EVALUATED,
    )
    title = f"{task.title}, stand-in data"
    return task.model_copy(update={"dataset": dataset, "title": title})
