"""What a task is, in plain data: everything about it that can change a number is in its spec."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from harness.tasks.ids import RewardRule, Scale, Semantics, Source


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ReferenceScores(_Spec):
    """Episode returns that normalise to 0 (`min`) and 100 (`max`), and where they are from.

    `entry` is their name there, or, of a source of one's own, the source in words.
    """

    min: FiniteFloat
    max: FiniteFloat
    source: Source
    entry: str = ""

    @model_validator(mode="after")
    def _can_normalise(self) -> Self:
        if self.min == self.max:
            raise ValueError("the reference scores are equal, so nothing can be normalised by them")
        return self


class DatasetRef(_Spec):
    """Which data a task learns from.

    Attributes:
        id: Minari id it is stored under, such as `pointmaze/umaze-150k-v0`.
        source: where its bytes are from; a `recipe` makes them on this machine, `minari` datasets
            are there already and imported, `minari-remote` ones are public and imported once they
            are fetched or there, `d4rl` files are D4RL's own, fetched or there already.
        recipe: id of what makes or imports it, one of ours or of an installed family's.
        params: the recipe's parameters; `transitions` is the number of steps asked for, None all.
        rewards: the rule that makes the task's rewards from it.
    """

    id: str
    source: Literal["recipe", "minari", "minari-remote", "d4rl"]
    recipe: str
    params: dict[str, JsonValue]
    rewards: RewardRule

    @property
    def adds_noise(self) -> bool:
        """Whether these are one policy's episodes, most of them with noise added to its actions."""
        return self.recipe == "policy-rollout" and "actions" not in self.params


class EnvironmentSpec(_Spec):
    """The evaluation environment: a registered gymnasium id, its arguments and our wrappers.

    `semantics` says what a score measured here means; `words` has the sentences.
    """

    id: str
    kwargs: dict[str, JsonValue]
    wrappers: tuple[str, ...]
    semantics: tuple[Semantics, ...]


class TaskSpec(_Spec):
    """A dataset to learn from and an environment to be scored in.

    Attributes:
        title: for readers.
        family: tasks with the same one are averaged together in reports.
        horizon: of an evaluation episode, in steps.
        scale: on whose scale scores are.
        values: further numbers of the task, that figures may be drawn against.
        known_q: whether its family knows the action value in closed form.
        description: for readers, beside what the ids say.
    """

    id: str
    title: str
    family: str
    dataset: DatasetRef
    environment: EnvironmentSpec
    horizon: int = Field(ge=1)
    reference: ReferenceScores
    scale: Scale
    values: dict[str, float] = {}
    known_q: bool = False
    description: str = ""

    @model_serializer(mode="wrap")
    def _leave_out_what_is_unused(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What only some tasks have is in no other task's hash."""
        fields: dict[str, Any] = dump(self)
        unused = [name for name in ("values", "known_q", "description") if not fields.get(name)]
        return {name: value for name, value in fields.items() if name not in unused}

    @property
    def ranks(self) -> bool:
        """Whether scores on it rank methods of offline RL; else it is shown and not averaged.

        One policy's actions with noise added test denoising: to clone the policy is best there.
        """
        return not self.dataset.adds_noise

    def normalized_score(self, episode_return: float) -> float:
        """Points: 0 at the reference minimum, 100 at the reference maximum, not clipped."""
        low, high = self.reference.min, self.reference.max
        return 100.0 * (episode_return - low) / (high - low)
