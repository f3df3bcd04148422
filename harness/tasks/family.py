"""What a family of tasks is: the plug-in that tasks come from, ours or an installed package's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from harness.tasks.options import task_of_sized_id
from harness.tasks.spec import TaskSpec

if TYPE_CHECKING:
    from algorithms.networks import Network


class Family(ABC):
    """Tasks that belong together; light, as every listing imports it.

    Attributes:
        recipes: what makes the family's datasets and is not one of ours: `package.module:RECIPE`
            (a `harness.data.recipe.Recipe`) by the id that its specs name.
    """

    recipes: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def task_ids(self) -> list[str]:
        """The tasks to list; `build` may know more."""

    @abstractmethod
    def build(self, task_id: str, options: Mapping[str, Any]) -> TaskSpec | None:
        """The spec of a task, or None for an id that is not the family's.

        Raises UserError for an option that the task does not have or that cannot be.
        """

    def task_of_dataset(self, dataset_id: str) -> TaskSpec | None:
        """The task that learns from a dataset with this id, or None if it is not the family's."""
        return task_of_sized_id(self.build, dataset_id)

    def known_q(self, task: TaskSpec) -> Network | None:
        """The action value of a task whose spec says `known_q`; None if it is not the family's."""
        return None
