"""Adroit: a 24-joint hand twirls a pen, opens a door, hammers a nail, carries a ball.

Environments: gymnasium-robotics 1.4.2, `AdroitHand{Pen,Door,Hammer,Relocate}-v1`, with D4RL's
rewards, terminations and horizons restored, so that D4RL's reference scores mean what they say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.tasks.d4rl_rules import DISTANCE
from harness.tasks.family import Family
from harness.tasks.ids import RewardRule, Scale, Semantics, Source
from harness.tasks.local_data import imported, rolled_out
from harness.tasks.spec import DatasetRef, EnvironmentSpec, ReferenceScores, TaskSpec


@dataclass(frozen=True)
class Hand:
    """One of the four environments.

    Attributes:
        title: gymnasium's name, as in `AdroitHand<title>-v1`.
        horizon: of D4RL's evaluation, in steps.
        reference: D4RL's reference returns, minimum and maximum.
        levels: the local datasets there are.
        mixed: steps of the `mixed` dataset.
        cloned: steps of each dataset with clones of an agent; 0 where there is none.
        wrapper: what restores D4RL's rules.
        rule: what restores D4RL's rewards in data.
        semantics: what a score means with both restored.
    """

    title: str
    horizon: int
    reference: tuple[float, float]
    levels: tuple[str, ...]
    mixed: int
    wrapper: str
    rule: RewardRule
    semantics: Semantics
    cloned: int = 0


HANDS = {
    "pen": Hand(
        title="Pen",
        horizon=100,
        reference=(96.262799, 3076.8331017826877),
        levels=("expert",),
        mixed=150_000,
        wrapper="pen-drop",
        rule=RewardRule.PEN_DROP,
        semantics=Semantics.RESTORED_PEN,
        cloned=100_000,
    ),
    "door": Hand(
        title="Door",
        horizon=200,
        reference=(-56.512833, 2880.5693087298737),
        levels=("expert", "human", "cloned"),
        mixed=120_000,
        wrapper="door-distance",
        rule=DISTANCE["door"],
        semantics=Semantics.RESTORED_DOOR,
        cloned=100_000,
    ),
    "hammer": Hand(
        title="Hammer",
        horizon=200,
        reference=(-274.856578, 12794.134825156867),
        levels=("expert",),
        mixed=120_000,
        wrapper="hammer-distance",
        rule=DISTANCE["hammer"],
        semantics=Semantics.RESTORED_HAMMER,
    ),
    "relocate": Hand(
        title="Relocate",
        horizon=200,
        reference=(-6.425911, 4233.877797728884),
        levels=("expert",),
        mixed=120_000,
        wrapper="relocate-distance",
        rule=DISTANCE["relocate"],
        semantics=Semantics.RESTORED_RELOCATE,
    ),
}


# After D4RL's cloned data, with an agent in the place of a human: updates of each level's clone.
# One of 75 mostly fails, as a human's does.
CLONING_STEPS = {Semantics.AGENT_CLONED: 5_000, Semantics.UNDERFIT_CLONE: 75}
DEMONSTRATIONS = 25  # as many as D4RL has


class AdroitTasks(Family):
    """Adroit: imported expert data, mixtures of noise made here, and clones of an agent."""

    def task_ids(self) -> list[str]:
        """Every Adroit task, hand by hand."""
        return [
            f"local/{name}/{level}"
            for name, hand in HANDS.items()
            for level in (*hand.levels, "mixed", *(CLONING_STEPS if hand.cloned else ()))
        ]

    def build(self, task_id: str, options: Mapping[str, Any]) -> TaskSpec | None:
        """The spec of an Adroit task.

        `options` may hold `transitions`, and `data_seed` where the data are made here.
        None for an id that is not Adroit's. Raises UserError for an option that cannot be.
        """
        if task_id not in self.task_ids():
            return None
        _, name, level = task_id.split("/")
        hand = HANDS[name]
        return TaskSpec(
            id=task_id,
            title=f"{hand.title} ({level})",
            family="adroit",
            dataset=_dataset(task_id, options),
            environment=EnvironmentSpec(
                id=f"AdroitHand{hand.title}-v1",
                kwargs={},
                wrappers=(hand.wrapper, "held-success", "float32"),
                semantics=(hand.semantics, Semantics(level))
                if level in CLONING_STEPS
                else (hand.semantics,),
            ),
            horizon=hand.horizon,
            reference=ReferenceScores(
                min=hand.reference[0],
                max=hand.reference[1],
                source=Source.D4RL_INFOS,
                entry=f"{name}-human, -cloned and -expert-v1",
            ),
            scale=Scale.D4RL,
        )


def _dataset(task_id: str, options: Mapping[str, Any]) -> DatasetRef:
    _, name, level = task_id.split("/")
    if level == "mixed":
        return rolled_out(task_id, f"dapg-{name}", HANDS[name].mixed, options)
    if level in CLONING_STEPS:
        return rolled_out(
            task_id,
            f"dapg-{name}",
            HANDS[name].cloned,
            options,
            "agent-clone",
            demonstrations=DEMONSTRATIONS,
            training_steps=CLONING_STEPS[Semantics(level)],
        )
    return imported(task_id, [f"{task_id}-v0"], HANDS[name].rule, options)


FAMILY = AdroitTasks()
