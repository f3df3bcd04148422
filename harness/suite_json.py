"""What a suite's results folder says of the suite: all that the report needs beside the runs."""

from __future__ import annotations

from typing import Any

from algorithms import registry
from harness.plan import Plan
from harness.results import write_json
from harness.sweep import Method


def write_suite_json(plan: Plan, command: str) -> None:
    """Leave what the report needs to know about the suite."""
    suite = plan.suite
    runs = [
        {
            "task": spec.task.id,
            "label": spec.label,
            "seed": spec.seed,
            "path": str(spec.folder),
            "hash": spec.hash,
        }
        for spec in plan.runs
    ]
    content = {
        "name": suite.name,
        "title": suite.title,
        "question": suite.question,
        "command": command,
        "tasks": [task.model_dump(mode="json") for task in plan.tasks],
        "algorithms": [_row(plan, method) for method in suite.methods],
        "seeds": suite.seed_list,
        "steps": suite.training.steps,
        "online_steps": suite.training.online_steps,
        "evaluation": suite.evaluation.model_dump(mode="json"),
        "figures": suite.figures,
        "runs": runs,
        "smoke": plan.smoke,
    }
    write_json(plan.directory / "suite.json", content)


def _row(plan: Plan, method: Method) -> dict[str, Any]:
    algorithm = registry.entries()[method.algorithm]
    tasks = [task.id for task in plan.tasks if method.runs_on(task.id)]
    return {
        "label": method.label,
        "base": method.base,
        "variant": method.variant,
        "id": algorithm.id,
        "title": algorithm.title,
        "paper": algorithm.paper,
        "family": algorithm.family,
        "action_selection": registry.load(algorithm.id).action_selection,
        "trusts_critic": algorithm.trusts_critic,
        "tasks": tasks,
        "config": plan.configs[tasks[0], method.label],
        "per_task": method.entry.per_task,
    }
