"""D4RL's locomotion v2 and Adroit v1: its own data, and environments that mean what it meant.

Bodies, hands and their reference scores are those of `gym_mujoco` and `adroit`; only the walker has
other feet here, D4RL's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.tasks.adroit import HANDS
from harness.tasks.d4rl_files import published
from harness.tasks.family import Family
from harness.tasks.gym_mujoco import BODIES, HORIZON
from harness.tasks.ids import RewardRule, Scale, Semantics, Source
from harness.tasks.reward_sign import D4RL_SIGN
from harness.tasks.spec import EnvironmentSpec, ReferenceScores, TaskSpec

_LEVELS = {
    "gym": ("medium", "medium-replay", "medium-expert"),
    "adroit": ("human", "cloned", "expert"),
}
_NAMES = {"gym": tuple(BODIES), "adroit": tuple(HANDS)}


class D4rlTasks(Family):
    """D4RL's locomotion v2 and Adroit v1."""

    def task_ids(self) -> list[str]:
        """Locomotion, body by body, then Adroit, hand by hand."""
        return [
            f"{group}/{name}/{level}"
            for group, levels in _LEVELS.items()
            for name in _NAMES[group]
            for level in levels
        ]

    def build(self, task_id: str, options: Mapping[str, Any]) -> TaskSpec | None:
        """The spec of one of these tasks; `options` may hold `transitions`.

        None for an id that is not one. Raises UserError for an option that cannot be.
        """
        if task_id not in self.task_ids():
            return None
        group, name, level = task_id.split("/")
        make = _locomotion if group == "gym" else _adroit
        return make(task_id, name, level, options)


def _locomotion(task_id: str, name: str, level: str, options: Mapping[str, Any]) -> TaskSpec:
    body = BODIES[name]
    file = f"gym_mujoco_v2/{name}_{level.replace('-', '_')}-v2.hdf5"
    return TaskSpec(
        id=task_id,
        title=f"{body.title} {level} (D4RL v2)",
        family="gym",
        dataset=published(task_id, 2, file, RewardRule.AS_RECORDED, options),
        environment=EnvironmentSpec(
            id=f"{body.title}-v5",
            kwargs={"xml_file": "walker2d.xml"} if name == "walker2d" else {},
            wrappers=("healthy-reward", "float32") if body.falls else ("float32",),
            semantics=(Semantics(f"d4rl-{name}"),),
        ),
        horizon=HORIZON,
        reference=ReferenceScores(
            min=body.reference[0],
            max=body.reference[1],
            source=Source.D4RL_INFOS,
            entry=f"{name}-{level}-v2",
        ),
        scale=Scale.D4RL,
    )


def _adroit(task_id: str, name: str, level: str, options: Mapping[str, Any]) -> TaskSpec:
    hand, file = HANDS[name], f"{name}-{level}-v1"
    rewards = D4RL_SIGN.get(name, RewardRule.AS_RECORDED)
    return TaskSpec(
        id=task_id,
        title=f"{hand.title} {level} (D4RL v1)",
        family="adroit",
        dataset=published(task_id, 1, f"hand_dapg_v1/{file}.hdf5", rewards, options),
        environment=EnvironmentSpec(
            id=f"AdroitHand{hand.title}-v1",
            kwargs={},
            wrappers=(hand.wrapper, "held-success", "float32"),
            semantics=(Semantics(f"d4rl-{name}"),),
        ),
        horizon=hand.horizon,
        reference=ReferenceScores(
            min=hand.reference[0],
            max=hand.reference[1],
            source=Source.D4RL_INFOS,
            entry=file,
        ),
        scale=Scale.D4RL,
    )


FAMILY = D4rlTasks()
