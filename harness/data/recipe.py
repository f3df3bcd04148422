"""What every recipe is, and which there are: ours, and those that installed families offer."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray
from pydantic import JsonValue

from algorithms.transitions import Transitions
from harness.data.minari_format import EpisodeArrays
from harness.data.sources.download_lock import SourceFile
from harness.data.store import make_command
from harness.errors import UserError, lacks_memory
from harness.tasks import installed_recipe
from harness.tasks.spec import TaskSpec

if TYPE_CHECKING:
    import gymnasium as gym

# Our recipes: the module of each by its id. Ids never become names of modules.
OURS = {
    "agent-clone": "agent_clone",
    "d4rl-hdf5": "d4rl_hdf5",
    "locomotion": "locomotion",
    "minari-import": "minari_import",
    "minari-pointmaze": "minari_pointmaze",
    "minari-remote": "minari_remote",
    "multimodal": "multimodal",
    "pointmaze": "pointmaze",
    "policy-rollout": "policy_rollout",
    "stand-in": "stand_in",
}


@dataclass(frozen=True)
class Origin:
    """Where a dataset is from, as Minari's metadata say it.

    Attributes:
        algorithm: what acted.
        text: how it was made, in sentences.
        environment: what it was made in; it must have a spec.
        requirements: pip requirements of that environment.
    """

    algorithm: str
    text: str
    environment: gym.Env[Any, Any]
    requirements: tuple[str, ...]


class Recipe(ABC):
    """Makes (or imports) the dataset of a task, and turns it into what the task learns from.

    Attributes:
        inputs: the arrays that the packed rows are made of: flat observations first, then actions,
            terminations and truncations, and rewards where the dataset's own count.
        makes_small: whether a few thousand steps take seconds and nothing but this machine; smoke
            runs replace the data of all others by stand-ins.
    """

    inputs: ClassVar[tuple[str, ...]] = (
        "observations",
        "actions",
        "rewards",
        "terminations",
        "truncations",
    )
    makes_small: ClassVar[bool] = False

    def prepare(self, task: TaskSpec, report: Callable[[str, int, int], None]) -> None:
        """What takes long before the first episode; it hears (what, done, total) of it."""
        return

    def sources(self, task: TaskSpec) -> list[SourceFile]:
        """The files that the dataset is made of, if it is made of any; hashed and locked.

        Raises UserError if one is not on this machine.
        """
        return []

    @abstractmethod
    def episodes(
        self, task: TaskSpec, workers: int | None, progress: Callable[[int], None]
    ) -> Iterator[EpisodeArrays]:
        """The episodes in order, the same whatever the `workers`; progress hears steps done.

        Observations have one row more than actions; rewards, terminations and truncations have one
        a step, and an episode's last step is one of the latter two. Actions outside [-1, 1] are
        clipped and counted by who takes the episodes in.
        """

    @abstractmethod
    def origin(self, task: TaskSpec) -> Origin:
        """For Minari's metadata; called after the last episode."""

    def constants(self, task: TaskSpec) -> dict[str, JsonValue]:
        """What else the bytes depend on, for the manifest; called after the last episode."""
        return {}

    def seen(self, task: TaskSpec, episode: EpisodeArrays) -> EpisodeArrays:
        """The episode's `inputs` as they are under the task's rules of termination."""
        return episode

    def columns(self, episode: EpisodeArrays) -> EpisodeArrays:
        """An episode's transitions as `Transitions.pack` takes them, rewards only if it has any."""
        observations = episode[self.inputs[0]]
        columns = {
            "observations": observations[:-1],
            "next_observations": observations[1:],
            "actions": episode["actions"],
            "terminals": episode["terminations"],
            "timeouts": episode["truncations"],
        }
        return columns | ({"rewards": episode["rewards"]} if "rewards" in episode else {})

    def rewards(self, task: TaskSpec, columns: EpisodeArrays) -> NDArray[Any]:
        """The task's rewards, [N], from the columns of all its transitions.

        `columns` are the arguments of `Transitions.pack`; its rewards are the recorded ones. May
        depend on nothing else of the task than its `dataset`, by which rows are kept.
        """
        return columns["rewards"]

    def missing(self, task: TaskSpec) -> list[str]:
        """What must be on this machine first and is not, a sentence each with how to get it.

        Quick: called for every task of a suite before anything is made.
        """
        return []

    def fetch(self, task: TaskSpec, progress: Callable[[str, int, int], None]) -> list[str]:
        """Download what the dataset is made of; returns what went wrong on the way, in sentences.

        Progress hears what, how much is done, and of how much. Raises UserError if it cannot be
        had, or if there is nothing to download.
        """
        raise UserError(
            f"{task.dataset.id} is not fetched but made on this machine, by the recipe "
            f"'{task.dataset.recipe}'. Make it with: {make_command(task)}"
        )

    def details(self, task: TaskSpec, data: Transitions) -> str:
        """What `data info` prints below its table."""
        return ""


def recipe_of(task: TaskSpec) -> Recipe:
    """The recipe of the task's dataset. Raises UserError if nobody offers it, or it is broken."""
    name = task.dataset.recipe
    target = (
        f"{__package__}.recipes.{OURS[name]}:RECIPE" if name in OURS else installed_recipe(name)
    )
    if target is None:
        raise UserError(
            f"Nobody offers the recipe '{name}' that {task.dataset.id} is made by. Install the "
            "package of its task."
        )
    module, _, attribute = target.partition(":")
    try:
        recipe = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        if lacks_memory(error):
            raise
        raise UserError(f"The recipe '{name}' ({target}) cannot be imported: {error}.") from error
    if not isinstance(recipe, Recipe):
        raise UserError(f"The recipe '{name}' ({target}) is no harness.data.recipe.Recipe.")
    return recipe


def whole_episodes(
    episodes: Iterable[EpisodeArrays], transitions: int | None
) -> Iterator[EpisodeArrays]:
    """As many of the first episodes as fit into so many transitions, but at least one; None: all.

    Reads one episode too many, to know that it does not fit.
    """
    steps = 0
    for index, episode in enumerate(episodes):
        steps += len(episode["actions"])
        if transitions is not None and steps > transitions and index > 0:
            return
        yield episode
