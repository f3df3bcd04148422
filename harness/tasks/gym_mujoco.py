"""Gym locomotion: run as fast as possible without falling over.

Environments: gymnasium 1.4's `{HalfCheetah,Hopper,Walker2d}-v5`, in which the local data were made,
with the healthy reward of D4RL's version. D4RL's own (v2) need mujoco-py, which cannot be installed
any more. v4 has D4RL's rewards and walker2d's original feet, but the local data are v5's: to learn
from one walker and be scored on another would measure the difference. HalfCheetah and Hopper here
step exactly like v4; so does Walker2d, but for a friction of 1.9 under both feet (v4: 0.9 right).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.tasks.family import Family
from harness.tasks.ids import RewardRule, Scale, Semantics, Source
from harness.tasks.local_data import imported, rolled_out
from harness.tasks.spec import DatasetRef, EnvironmentSpec, ReferenceScores, TaskSpec


@dataclass(frozen=True)
class Body:
    """One of the three environments.

    Attributes:
        title: gymnasium's name, as in `<title>-v5`.
        reference: D4RL's reference returns, minimum and maximum.
        falls: whether falling over ends an episode, and costs v5's healthy reward.
        semantics: how a score here differs from one of D4RL.
    """

    title: str
    reference: tuple[float, float]
    falls: bool
    semantics: Semantics


BODIES = {
    "halfcheetah": Body("HalfCheetah", (-280.178953, 12135.0), False, Semantics.HALFCHEETAH_V5),
    "hopper": Body("Hopper", (-20.272305, 3234.3), True, Semantics.HOPPER_V5),
    "walker2d": Body("Walker2d", (1.629008, 4592.3), True, Semantics.WALKER2D_V5),
}
_LEVELS = {
    "medium": ("medium",),
    "expert": ("expert",),
    "medium-expert": ("medium", "expert"),
}
HORIZON = 1000
MIXED_TRANSITIONS = 200_000


class LocomotionTasks(Family):
    """Locomotion on local data."""

    def task_ids(self) -> list[str]:
        """Every locomotion task, body by body."""
        return [f"local/{name}/{level}" for name in BODIES for level in (*_LEVELS, "mixed")]

    def build(self, task_id: str, options: Mapping[str, Any]) -> TaskSpec | None:
        """The spec of a locomotion task.

        `options` may hold `transitions`, and for mixed `data_seed`. None for an id that is not
        one. Raises UserError for an option that cannot be.
        """
        if task_id not in self.task_ids():
            return None
        _, name, level = task_id.split("/")
        body = BODIES[name]
        return TaskSpec(
            id=task_id,
            title=f"{body.title} ({level})",
            family="gym",
            dataset=_dataset(task_id, options),
            environment=EnvironmentSpec(
                id=f"{body.title}-v5",
                kwargs={},
                wrappers=("healthy-reward", "float32") if body.falls else ("float32",),
                semantics=(body.semantics, Semantics.LOCAL_DATA),
            ),
            horizon=HORIZON,
            reference=ReferenceScores(
                min=body.reference[0],
                max=body.reference[1],
                source=Source.D4RL_INFOS,
                entry=f"{name}-*-v2",
            ),
            scale=Scale.D4RL,
        )


def _dataset(task_id: str, options: Mapping[str, Any]) -> DatasetRef:
    _, name, level = task_id.split("/")
    if level == "mixed":
        return rolled_out(task_id, f"tqc-{name}", MIXED_TRANSITIONS, options)
    parts = [f"local/{name}/{part}-v0" for part in _LEVELS[level]]
    rewards = RewardRule.HEALTHY_FALL if BODIES[name].falls else RewardRule.AS_RECORDED
    return imported(task_id, parts, rewards, options)


FAMILY = LocomotionTasks()
