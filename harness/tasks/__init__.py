"""Which tasks exist, and their environments. Light: only `make_environment` imports gymnasium."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import UserError, nearest
from harness.tasks import pointmaze
from harness.tasks.spec import DatasetRef, EnvironmentSpec, ReferenceScores, TaskSpec

if TYPE_CHECKING:
    import gymnasium as gym

__all__ = [
    "DatasetRef",
    "EnvironmentSpec",
    "ReferenceScores",
    "TaskSpec",
    "get_task",
    "make_environment",
    "task_ids",
]


def task_ids() -> list[str]:
    """Every task id, grouped by suite."""
    return pointmaze.task_ids()


def get_task(task_id: str, options: Mapping[str, Any] | None = None) -> TaskSpec:
    """The spec of a task; PointMaze tasks take the options `transitions` and `data_seed`.

    Raises UserError for an unknown id or an option the task does not have.
    """
    if task_id not in task_ids():
        raise UserError(
            f"There is no task '{task_id}'.{nearest(task_id, task_ids())} "
            f"Known tasks: {', '.join(task_ids())}."
        )
    return pointmaze.build(task_id, options or {})


def make_environment(task: TaskSpec) -> gym.Env[Any, Any]:
    """The task's evaluation environment: flat float32 observations, actions in [-1, 1]."""
    from harness.tasks.environment import make

    return make(task.environment, task.horizon)
