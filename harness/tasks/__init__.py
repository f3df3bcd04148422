"""Which tasks exist, and their environments. Light: only `make_environment` imports gymnasium.

A family of tasks is a module with three functions: `task_ids()` lists its tasks,
`build(task_id, options)` and `task_of_dataset(dataset_id)` give a spec, or None for an id that is
not the family's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import UserError, nearest
from harness.tasks import (
    adroit,
    d4rl,
    gym_mujoco,
    made,
    maze2d,
    minari_public,
    multimodal,
    pointmaze,
    rollouts,
)
from harness.tasks.spec import DatasetRef, EnvironmentSpec, ReferenceScores, TaskSpec

if TYPE_CHECKING:
    import gymnasium as gym

    from algorithms.networks import Network

__all__ = [
    "DatasetRef",
    "EnvironmentSpec",
    "ReferenceScores",
    "TaskSpec",
    "find_task",
    "get_task",
    "known_q",
    "make_environment",
    "task_ids",
    "task_of_dataset",
]

_FAMILIES = (
    pointmaze,
    adroit,
    gym_mujoco,
    d4rl,
    maze2d,
    minari_public,
    made,
    rollouts,
    multimodal,
)


def task_ids() -> list[str]:
    """The id of every listed task, family by family."""
    return [task_id for family in _FAMILIES for task_id in family.task_ids()]


def find_task(task_id: str, options: Mapping[str, Any] | None = None) -> TaskSpec | None:
    """The spec of a task, or None for an id that is no task's; `options` as its family has them.

    Raises UserError for an option that the task does not have or that cannot be.
    """
    found = (family.build(task_id, options or {}) for family in _FAMILIES)
    return next((task for task in found if task is not None), None)


def get_task(task_id: str, options: Mapping[str, Any] | None = None) -> TaskSpec:
    """`find_task`, but an unknown id raises UserError too."""
    task = find_task(task_id, options)
    if task is None:
        raise UserError(
            f"There is no task '{task_id}'.{nearest(task_id, task_ids())} "
            "List them with: python -m harness list tasks"
        )
    return task


def task_of_dataset(dataset_id: str) -> TaskSpec | None:
    """The task that learns from a dataset with this id, or None if the id is no dataset's."""
    found = (family.task_of_dataset(dataset_id) for family in _FAMILIES)
    return next((task for task in found if task is not None), None)


def make_environment(task: TaskSpec) -> gym.Env[Any, Any]:
    """The task's evaluation environment: flat float32 observations, actions in [-1, 1]."""
    from harness.tasks.environment import make

    return make(task.environment, task.horizon)


def known_q(task: TaskSpec) -> Network | None:
    """The task's action value in closed form, or None where nobody knows it (imports torch)."""
    if task.dataset.recipe != "multimodal":
        return None
    from harness.tasks import multimodal_value

    return multimodal_value.known_q(task)
