"""Which tasks exist, and their environments. Light: only `make_environment` imports gymnasium."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import UserError, nearest
from harness.tasks.families import families, installed, left_out
from harness.tasks.family import Family
from harness.tasks.own import OwnTask, TaskList, minari_task, pointmaze_task
from harness.tasks.spec import DatasetRef, EnvironmentSpec, ReferenceScores, TaskSpec

if TYPE_CHECKING:
    import gymnasium as gym

    from algorithms.base import Config
    from algorithms.networks import Network

__all__ = [
    "DatasetRef",
    "EnvironmentSpec",
    "Family",
    "OwnTask",
    "ReferenceScores",
    "TaskList",
    "TaskSpec",
    "find_task",
    "get_task",
    "hint",
    "installed_recipe",
    "known_q",
    "known_q_of",
    "make_environment",
    "minari_task",
    "pointmaze_task",
    "task_ids",
    "task_of_dataset",
]


def task_ids() -> list[str]:
    """The id of every listed task, family by family."""
    return [task_id for family in families() for task_id in family.task_ids()]


def find_task(task_id: str, options: Mapping[str, Any] | None = None) -> TaskSpec | None:
    """The spec of a task, or None for an id that is no task's; `options` as its family has them.

    Raises UserError for an option that the task does not have or that cannot be.
    """
    found = (family.build(task_id, options or {}) for family in families())
    return next((task for task in found if task is not None), None)


def get_task(task_id: str, options: Mapping[str, Any] | None = None) -> TaskSpec:
    """`find_task`, but an unknown id raises UserError too."""
    task = find_task(task_id, options)
    if task is None:
        raise UserError(
            f"There is no task '{task_id}'.{hint(task_id, task_ids())} "
            "List them with: python -m harness list tasks"
        )
    return task


def hint(unknown: str, known: Iterable[str]) -> str:
    """What to say of an id that is no task's: that its family is left out, or the nearest one."""
    if unknown.partition("/")[0] in left_out():
        return " Its family could not be used, see above: mend it, then try again."
    return nearest(unknown, known)


def task_of_dataset(dataset_id: str) -> TaskSpec | None:
    """The task that learns from a dataset with this id, or None if the id is no dataset's."""
    found = (family.task_of_dataset(dataset_id) for family in families())
    return next((task for task in found if task is not None), None)


def installed_recipe(name: str) -> str | None:
    """`module:OBJECT` of the recipe that an installed family offers by this id, if one does."""
    found = (family.recipes.get(name) for family in installed())
    return next((target for target in found if target is not None), None)


def make_environment(task: TaskSpec, render_mode: str | None = None) -> gym.Env[Any, Any]:
    """The task's evaluation environment: flat float32 observations, actions in [-1, 1].

    render_mode: gymnasium's, such as `rgb_array`.
    """
    from harness.tasks.environment import make

    return make(task.environment, task.horizon, render_mode)


def known_q(task: TaskSpec) -> Network | None:
    """The task's action value in closed form, or None where nobody knows it (imports torch)."""
    if not task.known_q:
        return None
    found = (family.known_q(task) for family in families())
    return next((network for network in found if network is not None), None)


def known_q_of(task: TaskSpec, config: Config) -> Network | None:
    """The same for a config that takes it as the critic, or None."""
    return known_q(task) if config.known_q else None
