"""A suite in seconds: every code path of it, with results that mean nothing."""

from __future__ import annotations

from collections.abc import Iterator

from harness.suite.schema import Suite, task_entries
from harness.tasks import get_task
from harness.tasks.spec import TaskSpec
from harness.tasks.stand_in import with_stand_in

_STEPS = 60
_ONLINE_STEPS = 120  # longer than pen's episodes
_TRANSITIONS = 3000
SMOKE_CONFIG = {
    "hidden_dims": [32, 32],
    "batch_size": 16,
    "context": 2,
    "embedding_dim": 32,
    "policy_hidden_dims": [32, 32],
    "behavior_dims": [32, 32],
    "planning_candidates": 2,
    "actor_dim": 32,
    "guidance_dims": [32, 32],
    "support_actions": 2,
    "actor_hidden_dims": [32, 32],
    "behavior_dim": 32,
    "horizon": 2,
    "beam_width": 2,
    "plans": 2,
    "diffusion_steps": 3,
}


def smoke_tasks(suite: Suite) -> Iterator[TaskSpec]:
    """The suite's tasks with little data of their own kind, or stand-in data."""
    from harness.data.recipe import recipe_of

    for task_id, options in task_entries(suite):
        task = get_task(task_id, options)
        if recipe_of(task).makes_small:
            yield get_task(task_id, (options or {}) | {"transitions": _TRANSITIONS})
        else:
            yield with_stand_in(task, _TRANSITIONS)


def shrunk(suite: Suite) -> Suite:
    """The suite with budgets of seconds; it still evaluates twice and stacks two seeds."""
    online_steps = _ONLINE_STEPS if suite.training.online_steps else 0
    shorter = {"steps": _STEPS, "online_steps": online_steps, "compile": False}
    training = suite.training.model_copy(update=shorter)
    # Other protocols may need more evaluations than two.
    every = {"every": _STEPS // 2, "first": 0, "episodes": 2, "protocol": "last"}
    evaluation = suite.evaluation.model_copy(update=every)
    tuning = suite.tuning
    if tuning is not None:
        tuning = tuning.model_copy(update={"seeds": tuning.seeds[:2]})
    return suite.model_copy(
        update={
            "name": f"{suite.name}-smoke",
            "algorithms": {
                label: entry.model_copy(update={"steps": None})
                for label, entry in suite.algorithms.items()
            },
            "seeds": suite.seed_list[:2],
            "training": training,
            "tuning": tuning,
            "evaluation": evaluation,
        }
    )
