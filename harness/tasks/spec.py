"""What a task is, in plain data: everything about it that can change a number is in its spec."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReferenceScores(_Spec):
    """Episode returns that normalise to 0 (`min`) and 100 (`max`), and where they are from."""

    min: float
    max: float
    source: str


class DatasetRef(_Spec):
    """Which data a task learns from.

    Attributes:
        id: Minari id it is stored under, such as `pointmaze/umaze-150k-v0`.
        source: where its bytes are from; a `recipe` makes them on this machine, `minari` datasets
            are there already and imported, `minari-remote` ones are public and imported once they
            are fetched or there, `d4rl` files are D4RL's own, fetched or there already.
        recipe: name of what makes or imports it, a module of `harness.data.recipes`.
        params: the recipe's parameters; `transitions` is the number of steps asked for, None all.
        rewards: the rule that makes the task's rewards from it.
    """

    id: str
    source: Literal["recipe", "minari", "minari-remote", "d4rl"]
    recipe: str
    params: dict[str, JsonValue]
    rewards: str


class EnvironmentSpec(_Spec):
    """The evaluation environment: a registered gymnasium id, its arguments and our wrappers.

    `semantics` says in words what a score measured here means.
    """

    id: str
    kwargs: dict[str, JsonValue]
    wrappers: tuple[str, ...]
    semantics: str


class TaskSpec(_Spec):
    """A dataset to learn from and an environment to be scored in; `horizon` is in steps."""

    id: str
    title: str
    suite: str
    dataset: DatasetRef
    environment: EnvironmentSpec
    horizon: int
    reference: ReferenceScores

    def normalized_score(self, episode_return: float) -> float:
        """Points: 0 at the reference minimum, 100 at the reference maximum, not clipped."""
        low, high = self.reference.min, self.reference.max
        return 100.0 * (episode_return - low) / (high - low)
