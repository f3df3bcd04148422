"""Adroit: a 24-joint hand twirls a pen, opens a door, hammers a nail, carries a ball.

Environments: gymnasium-robotics 1.4.2, `AdroitHand{Pen,Door,Hammer,Relocate}-v1`, with D4RL's
rewards, terminations and horizons restored, so that D4RL's reference scores mean what they say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.tasks.d4rl_rules import DISTANCE, PEN_DROP
from harness.tasks.local_data import D4RL_SOURCE, imported, rolled_out
from harness.tasks.options import task_of_sized_id
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
        wrapper: what restores D4RL's rules.
        rule: what restores D4RL's rewards in data.
        restored: the same in words.
    """

    title: str
    horizon: int
    reference: tuple[float, float]
    levels: tuple[str, ...]
    mixed: int
    wrapper: str
    rule: str
    restored: str


_DISTANCE = (
    "the palm's distance to the {} is subtracted from the reward (times 0.1), where "
    "gymnasium-robotics 1.2.1 to 1.4.2 adds it"
)
HANDS = {
    "pen": Hand(
        title="Pen",
        horizon=100,
        reference=(96.262799, 3076.8331017826877),
        levels=("expert",),
        mixed=150_000,
        wrapper="pen-drop",
        rule=PEN_DROP,
        restored=(
            "the episode ends (terminal) with the step that drops the pen, where "
            "gymnasium-robotics goes on"
        ),
    ),
    "door": Hand(
        title="Door",
        horizon=200,
        reference=(-56.512833, 2880.5693087298737),
        levels=("expert", "human", "cloned"),
        mixed=120_000,
        wrapper="door-distance",
        rule=DISTANCE["door"],
        restored=_DISTANCE.format("handle"),
    ),
    "hammer": Hand(
        title="Hammer",
        horizon=200,
        reference=(-274.856578, 12794.134825156867),
        levels=("expert",),
        mixed=120_000,
        wrapper="hammer-distance",
        rule=DISTANCE["hammer"],
        restored=_DISTANCE.format("hammer"),
    ),
    "relocate": Hand(
        title="Relocate",
        horizon=200,
        reference=(-6.425911, 4233.877797728884),
        levels=("expert",),
        mixed=120_000,
        wrapper="relocate-distance",
        rule=DISTANCE["relocate"],
        restored=_DISTANCE.format("ball"),
    ),
}

_SEMANTICS = (
    "D4RL's {hand}-*-v1 in gymnasium-robotics 1.4.2 and MuJoCo 4: {restored}; {horizon} steps; "
    "D4RL's reference scores. Data follow the same rules. Success: more than 25 steps of the "
    "episode at the environment's goal, as DAPG counts it."
)


def task_ids() -> list[str]:
    """Every Adroit task, hand by hand."""
    return [
        f"local/{name}/{level}" for name, hand in HANDS.items() for level in (*hand.levels, "mixed")
    ]


def build(task_id: str, options: Mapping[str, Any]) -> TaskSpec | None:
    """The spec of an Adroit task; `options` may hold `transitions`, and for mixed `data_seed`.

    None for an id that is not Adroit's. Raises UserError for an option that cannot be.
    """
    if task_id not in task_ids():
        return None
    _, name, level = task_id.split("/")
    hand = HANDS[name]
    return TaskSpec(
        id=task_id,
        title=f"{hand.title} ({level})",
        suite="adroit",
        dataset=_dataset(task_id, options),
        environment=EnvironmentSpec(
            id=f"AdroitHand{hand.title}-v1",
            kwargs={},
            wrappers=(hand.wrapper, "held-success", "float32"),
            semantics=_SEMANTICS.format(hand=name, restored=hand.restored, horizon=hand.horizon),
        ),
        horizon=hand.horizon,
        reference=ReferenceScores(
            min=hand.reference[0],
            max=hand.reference[1],
            source=f"{D4RL_SOURCE}, {name}-human, -cloned and -expert-v1",
        ),
    )


def task_of_dataset(dataset_id: str) -> TaskSpec | None:
    """The task that learns from a dataset with this id, or None if it is not Adroit's."""
    return task_of_sized_id(build, dataset_id)


def _dataset(task_id: str, options: Mapping[str, Any]) -> DatasetRef:
    _, name, level = task_id.split("/")
    if level == "mixed":
        return rolled_out(task_id, f"dapg-{name}", HANDS[name].mixed, options)
    return imported(task_id, [f"{task_id}-v0"], HANDS[name].rule, options)
