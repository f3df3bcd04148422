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

from harness.tasks.d4rl_rules import AS_RECORDED, HEALTHY
from harness.tasks.local_data import D4RL_SOURCE, imported, rolled_out
from harness.tasks.options import task_of_sized_id
from harness.tasks.spec import DatasetRef, EnvironmentSpec, ReferenceScores, TaskSpec


@dataclass(frozen=True)
class Body:
    """One of the three environments.

    Attributes:
        title: gymnasium's name, as in `<title>-v5`.
        reference: D4RL's reference returns, minimum and maximum.
        falls: whether falling over ends an episode, and costs v5's healthy reward.
        difference: how a score here differs from one of D4RL, in words.
    """

    title: str
    reference: tuple[float, float]
    falls: bool
    difference: str


_SAME = "the physics of v5 are those of v4 and, but for the engine's version, of D4RL's v2"
BODIES = {
    "halfcheetah": Body("HalfCheetah", (-280.178953, 12135.0), False, f"{_SAME}, and so is reward"),
    "hopper": Body(
        "Hopper",
        (-20.272305, 3234.3),
        True,
        f"{_SAME}; the healthy reward of 1 is also paid on the step that falls, as there. D4RL's "
        "reference minimum is below what a random policy gets (about 17)",
    ),
    "walker2d": Body(
        "Walker2d",
        (1.629008, 4592.3),
        True,
        "both feet have v5's friction of 1.9, which the data were made with (D4RL's v2 and v4: 0.9 "
        "right, 1.9 left), so scores are not D4RL's physics; the healthy reward of 1 is also paid "
        "on the step that falls, as in D4RL",
    ),
}
_LEVELS = {
    "medium": ("medium",),
    "expert": ("expert",),
    "medium-expert": ("medium", "expert"),
}
HORIZON = 1000
MIXED_TRANSITIONS = 200_000


def task_ids() -> list[str]:
    """Every locomotion task, body by body."""
    return [f"local/{name}/{level}" for name in BODIES for level in (*_LEVELS, "mixed")]


def build(task_id: str, options: Mapping[str, Any]) -> TaskSpec | None:
    """The spec of a locomotion task; `options` may hold `transitions`, and for mixed `data_seed`.

    None for an id that is not one. Raises UserError for an option that cannot be.
    """
    if task_id not in task_ids():
        return None
    _, name, level = task_id.split("/")
    body = BODIES[name]
    return TaskSpec(
        id=task_id,
        title=f"{body.title} ({level})",
        suite="gym",
        dataset=_dataset(task_id, options),
        environment=EnvironmentSpec(
            id=f"{body.title}-v5",
            kwargs={},
            wrappers=("healthy-reward", "float32") if body.falls else ("float32",),
            semantics=f"{body.title}-v5 in MuJoCo 4 with D4RL's reference scores: "
            f"{body.difference}. The local data are not D4RL's: other agents, fewer steps.",
        ),
        horizon=HORIZON,
        reference=ReferenceScores(
            min=body.reference[0],
            max=body.reference[1],
            source=f"{D4RL_SOURCE}, {name}-*-v2",
        ),
    )


def task_of_dataset(dataset_id: str) -> TaskSpec | None:
    """The task that learns from a dataset with this id, or None if it is not one of these."""
    return task_of_sized_id(build, dataset_id)


def _dataset(task_id: str, options: Mapping[str, Any]) -> DatasetRef:
    _, name, level = task_id.split("/")
    if level == "mixed":
        return rolled_out(task_id, f"tqc-{name}", MIXED_TRANSITIONS, options)
    parts = [f"local/{name}/{part}-v0" for part in _LEVELS[level]]
    return imported(task_id, parts, HEALTHY if BODIES[name].falls else AS_RECORDED, options)
