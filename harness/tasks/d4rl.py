"""D4RL's locomotion v2 and Adroit v1: its own data, and environments that mean what it meant.

Bodies, hands and their reference scores are those of `gym_mujoco` and `adroit`; only the walker has
other feet here, D4RL's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.tasks.adroit import HANDS
from harness.tasks.d4rl_files import published
from harness.tasks.d4rl_rules import AS_RECORDED
from harness.tasks.gym_mujoco import BODIES, HORIZON
from harness.tasks.local_data import D4RL_SOURCE
from harness.tasks.options import task_of_sized_id
from harness.tasks.reward_sign import D4RL_SIGN
from harness.tasks.spec import EnvironmentSpec, ReferenceScores, TaskSpec

_LEVELS = {
    "gym": ("medium", "medium-replay", "medium-expert"),
    "adroit": ("human", "cloned", "expert"),
}
_NAMES = {"gym": tuple(BODIES), "adroit": tuple(HANDS)}

_ENGINE = "in MuJoCo 4 instead of mujoco-py's 2.0, the one difference known"
_BODY_SEMANTICS = {
    "halfcheetah": "HalfCheetah-v5 steps exactly like v4, which kept the rewards and physics of v2",
    "hopper": (
        "Hopper-v5 steps exactly like v4, which kept the rewards and physics of v2, once the "
        "healthy reward of 1 is also paid on the step that falls. D4RL's reference minimum is "
        "below what a random policy gets here (about 17)"
    ),
    "walker2d": (
        "Walker2d-v5 with the model of v2 to v4, whose feet have a friction of 0.9 (right) and 1.9 "
        "(left) where v5's have 1.9 both, steps exactly like v4 once the healthy reward of 1 is "
        "also paid on the step that falls"
    ),
}
_HAND_SEMANTICS = (
    "d4rl. D4RL's {name}-*-v1 in gymnasium-robotics 1.4.2, {engine}: {restored}; {horizon} steps; "
    "D4RL's reference scores. Success: more than 25 steps of the episode at the environment's "
    "goal, as DAPG counts it."
)


def task_ids() -> list[str]:
    """Locomotion, body by body, then Adroit, hand by hand."""
    return [
        f"{suite}/{name}/{level}"
        for suite, levels in _LEVELS.items()
        for name in _NAMES[suite]
        for level in levels
    ]


def build(task_id: str, options: Mapping[str, Any]) -> TaskSpec | None:
    """The spec of one of these tasks; `options` may hold `transitions`.

    None for an id that is not one. Raises UserError for an option that cannot be.
    """
    if task_id not in task_ids():
        return None
    suite, name, level = task_id.split("/")
    make = _locomotion if suite == "gym" else _adroit
    return make(task_id, name, level, options)


def task_of_dataset(dataset_id: str) -> TaskSpec | None:
    """The task that learns from a dataset with this id, or None if it is not one of these."""
    return task_of_sized_id(build, dataset_id)


def _locomotion(task_id: str, name: str, level: str, options: Mapping[str, Any]) -> TaskSpec:
    body = BODIES[name]
    file = f"gym_mujoco_v2/{name}_{level.replace('-', '_')}-v2.hdf5"
    return TaskSpec(
        id=task_id,
        title=f"{body.title} {level} (D4RL v2)",
        suite="gym",
        dataset=published(task_id, 2, file, AS_RECORDED, options),
        environment=EnvironmentSpec(
            id=f"{body.title}-v5",
            kwargs={"xml_file": "walker2d.xml"} if name == "walker2d" else {},
            wrappers=("healthy-reward", "float32") if body.falls else ("float32",),
            semantics=f"d4rl. D4RL's {name}-*-v2 {_ENGINE}: {_BODY_SEMANTICS[name]}. {HORIZON} "
            "steps; D4RL's reference scores.",
        ),
        horizon=HORIZON,
        reference=ReferenceScores(
            min=body.reference[0],
            max=body.reference[1],
            source=f"{D4RL_SOURCE}, {name}-{level}-v2",
        ),
    )


def _adroit(task_id: str, name: str, level: str, options: Mapping[str, Any]) -> TaskSpec:
    hand, file = HANDS[name], f"{name}-{level}-v1"
    rewards = D4RL_SIGN.get(name, AS_RECORDED)
    return TaskSpec(
        id=task_id,
        title=f"{hand.title} {level} (D4RL v1)",
        suite="adroit",
        dataset=published(task_id, 1, f"hand_dapg_v1/{file}.hdf5", rewards, options),
        environment=EnvironmentSpec(
            id=f"AdroitHand{hand.title}-v1",
            kwargs={},
            wrappers=(hand.wrapper, "held-success", "float32"),
            semantics=_HAND_SEMANTICS.format(
                name=name, engine=_ENGINE, restored=hand.restored, horizon=hand.horizon
            ),
        ),
        horizon=hand.horizon,
        reference=ReferenceScores(
            min=hand.reference[0], max=hand.reference[1], source=f"{D4RL_SOURCE}, {file}"
        ),
    )
