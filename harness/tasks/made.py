"""Locomotion data made on this machine by D4RL's recipe: `made/<body>/<level>`, not D4RL's files.

SAC is trained online in the task's environment (Fu et al., arXiv:2004.07219, Section 5): what it
has seen when its stochastic policy first scores a third of an expert is `medium-replay`, episodes
of that policy are `medium`, those of the best policy of the training `expert`, and as many of
each `medium-expert`. All levels of a body share one training (`harness/data/recipes/`), and where
this package has its policies (`POLICIES`), all but `medium-replay` need none.

A dataset's id says what is not the default: `made/hopper/medium-at25-train300k-200k-seed1-v0` is at
25 points, of a training of 300,000 steps, has 200,000 transitions and is of seed 1. Policies of
this package are named by what their sha256 begins with: `made/hopper/expert-by0d1e2f3a-v0`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from harness.tasks import gym_mujoco
from harness.tasks.family import Family
from harness.tasks.ids import RewardRule, Semantics
from harness.tasks.options import in_thousands, parse_dataset_id, sized_id, whole_numbers
from harness.tasks.spec import DatasetRef, TaskSpec

# What a level is made of, in equal shares.
PARTS = {
    "medium": ("medium",),
    "medium-replay": ("medium-replay",),
    "medium-expert": ("medium", "expert"),
    "expert": ("expert",),
}
LEVELS = tuple(PARTS)
# The policies of trainings by the defaults that come with this package, in harness/data/policies/:
# of a body, the sha256 of each part's.
POLICIES = {
    "halfcheetah": {
        "medium": "33eb63ea1cdef9e4153ca291809a4af5b8ac7daa5e974ecc8978fcf76b9119ec",
        "expert": "45e5ea12cdd4832ee681ac26194aebe6a929f329e97843c81196000d5616223f",
    },
    "hopper": {
        "medium": "1e0de437a35bef4ccf2fc01f201c4c34e94f4c5ca0bb059a789f0639cdc2b1d2",
        "expert": "2eb46d5dd350beb9f2a5ec051aaf943e43a22973c247bc0ba586de6d8d9204e2",
    },
    "walker2d": {
        "medium": "196a938767899c25984950e2884b1084dcf08f0ff39c21b53ca04dffe4b041e1",
        "expert": "d5ae0580fd990eb19f14685f50b68966fdda4725174d741e90bc54f0d6e227c0",
    },
}
MEDIUM_SCORE = 33  # points; D4RL: "approximately 1/3 the performance of the expert"
# Environment steps of a training, of what one core does in hours. The paper has a million on Hopper
# and three on HalfCheetah and Walker2d (arXiv:1812.05905, Figure 1).
TRAINING_STEPS = 500_000
TRANSITIONS = {"medium": 1_000_000, "medium-expert": 2_000_000, "expert": 1_000_000}
EXPLORATION_STEPS = 10_000  # of uniform actions before the first update, as in the official code
EVALUATION_EVERY = 5_000  # steps, at the end of the episode that passes them
EVALUATION_EPISODES = 10

_NAME = re.compile(
    r"(?P<task>made/\w+/[a-z-]+?)(-at(?P<score>[1-9]\d*))?(-train(?P<steps>[1-9]\d*)(?P<k>k?))?"
    r"(-by[0-9a-f_]+)?"
)


class MadeTasks(Family):
    """Locomotion data made on this machine."""

    def task_ids(self) -> list[str]:
        """Every such task, body by body."""
        return [f"made/{name}/{level}" for name in gym_mujoco.BODIES for level in LEVELS]

    def build(self, task_id: str, options: Mapping[str, Any]) -> TaskSpec | None:
        """The spec of such a task.

        `options` may hold `medium_score` (points), `training_steps`, `data_seed` (of the training
        and of the episodes) and `transitions` (of medium-replay the first ones; by default all).
        None for an id that is not one. Raises UserError for an option that cannot be.
        """
        if task_id not in self.task_ids():
            return None
        _, name, level = task_id.split("/")
        base, body = gym_mujoco.FAMILY.build(f"local/{name}/expert", {}), gym_mujoco.BODIES[name]
        assert base is not None
        return base.model_copy(
            update={
                "id": task_id,
                "title": f"{body.title} (made here: {level})",
                "dataset": _dataset(task_id, options),
                "environment": base.environment.model_copy(
                    update={"semantics": (body.semantics, Semantics.REMADE_DATA)}
                ),
            }
        )

    def task_of_dataset(self, dataset_id: str) -> TaskSpec | None:
        """The task that learns from a dataset with this id, or None if it is not one of these."""
        name, options = parse_dataset_id(dataset_id) or ("", {})
        match = _NAME.fullmatch(name)
        if match is None or match["task"] not in self.task_ids():
            return None
        if match["score"]:
            options["medium_score"] = int(match["score"])
        if match["steps"]:
            options["training_steps"] = int(match["steps"]) * (1000 if match["k"] else 1)
        task = self.build(match["task"], options)
        return task if task is not None and task.dataset.id == dataset_id else None


def _dataset(task_id: str, options: Mapping[str, Any]) -> DatasetRef:
    _, name, level = task_id.split("/")
    lowest = {"transitions": 1, "medium_score": 1, "training_steps": 1, "data_seed": 0}
    numbers = whole_numbers(task_id, options, lowest)
    seed = numbers.get("data_seed", 0)
    score = numbers.get("medium_score", MEDIUM_SCORE)
    steps = numbers.get("training_steps", TRAINING_STEPS)
    size = numbers.get("transitions", TRANSITIONS.get(level))
    named = task_id
    if score != MEDIUM_SCORE:
        named += f"-at{score}"
    if steps != TRAINING_STEPS:
        named += f"-train{in_thousands(steps)}"
    by_default = (score, steps, seed) == (MEDIUM_SCORE, TRAINING_STEPS, 0)
    policies = _policies(name, level) if by_default else {}
    if policies:
        named += f"-by{'_'.join(str(sha256)[:8] for sha256 in policies.values())}"
    return DatasetRef(
        id=sized_id(named, None if size == TRANSITIONS.get(level) else size, seed),
        source="recipe",
        recipe="locomotion",
        params={
            "level": level,
            **({} if size is None else {"transitions": size}),
            "seed": seed,
            "training_steps": steps,
            "medium_score": score,
            "exploration_steps": EXPLORATION_STEPS,
            "evaluation_every": EVALUATION_EVERY,
            "evaluation_episodes": EVALUATION_EPISODES,
            "sac": {},
            **({"policies": policies} if policies else {}),
        },
        rewards=RewardRule.AS_RECORDED,
    )


def _policies(body: str, level: str) -> dict[str, JsonValue]:
    """Sha256 of the policy of each part, if this package has all of them; else none."""
    known, parts = POLICIES.get(body, {}), PARTS[level]
    return {part: known[part] for part in parts} if known.keys() >= set(parts) else {}


FAMILY = MadeTasks()
