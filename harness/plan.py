"""From a suite to its runs: which there are, which were asked for, which are done already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from algorithms import registry
from algorithms.version import ENGINE_VERSION
from harness.configs import Configs, resolve_configs
from harness.data_progress import Report
from harness.errors import UserError
from harness.results import RunFolder, write_json
from harness.spec import EvaluationSpec, RunSpec
from harness.suite import Suite, load_suite, suite_tasks
from harness.tasks.spec import TaskSpec

_SMOKE_STEPS = 60
_SMOKE_TRANSITIONS = 3000
_SMOKE_CONFIG = {"hidden_dims": [32, 32], "batch_size": 32}


@dataclass(frozen=True)
class Plan:
    """All runs of a suite, and those that this invocation was asked for."""

    suite: Suite
    directory: Path  # results/<suite>, absolute
    tasks: list[TaskSpec]
    configs: Configs
    runs: list[RunSpec]
    selected: list[RunSpec]
    smoke: bool

    def folder(self, spec: RunSpec) -> RunFolder:
        return RunFolder(self.directory / spec.folder)

    def unfinished(self) -> list[RunSpec]:
        """The selected runs that are not done yet."""
        return [spec for spec in self.selected if not self.folder(spec).is_done()]


def make_plan(
    suite_path: Path,
    results: Path,
    progress: Report,
    *,
    only: Sequence[str] = (),
    seeds: int | None = None,
    smoke: bool = False,
) -> Plan:
    """Read a suite, make the data it needs, and list its runs.

    Args:
        suite_path: the suite file.
        results: the folder of all suites' results.
        progress: told of data being made: what, done, total.
        only: patterns of `task/label`, label or task; none selects everything.
        seeds: a number of seeds instead of the suite's.
        smoke: shrink everything to seconds.

    Raises:
        UserError: anything wrong with the suite, the selection or the data.
    """
    suite, document = load_suite(suite_path)
    tasks = suite_tasks(suite, {"transitions": _SMOKE_TRANSITIONS} if smoke else {})
    if seeds is not None:
        suite = suite.model_copy(update={"seeds": list(range(seeds))})
    if smoke:
        suite = _shrunk(suite)
    final = _SMOKE_CONFIG if smoke else {}
    configs = resolve_configs(suite, document, [task.id for task in tasks], final)
    chosen = _select(suite, tasks, only)
    hashes = _dataset_hashes(tasks, {task_id for task_id, _ in chosen}, progress)
    runs = [
        _run_spec(suite, task, label, seed, configs, hashes[task.id])
        for task in tasks
        if task.id in hashes
        for label in suite.algorithms
        for seed in suite.seed_list
    ]
    return Plan(
        suite=suite,
        directory=(results / suite.name).absolute(),
        tasks=tasks,
        configs=configs,
        runs=runs,
        selected=[run for run in runs if (run.task.id, run.label) in chosen],
        smoke=smoke,
    )


def write_suite_json(plan: Plan, command: str) -> None:
    """Leave what the report needs to know about the suite."""
    suite, known = plan.suite, registry.entries()
    algorithms = []
    for label, entry in suite.algorithms.items():
        algorithm = known[suite.algorithm_id(label)]
        row: dict[str, Any] = {"label": label, "id": algorithm.id, "title": algorithm.title}
        row |= {"paper": algorithm.paper, "family": algorithm.family}
        row["config"] = plan.configs[plan.tasks[0].id, label]
        algorithms.append(row | {"per_task": entry.per_task})
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
        "algorithms": algorithms,
        "seeds": suite.seed_list,
        "steps": suite.training.steps,
        "evaluation": suite.evaluation.model_dump(mode="json"),
        "runs": runs,
        "smoke": plan.smoke,
    }
    write_json(plan.directory / "suite.json", content)


def _run_spec(
    suite: Suite, task: TaskSpec, label: str, seed: int, configs: Configs, sha256: str
) -> RunSpec:
    return RunSpec(
        task=task,
        dataset_sha256=sha256,
        algorithm=suite.algorithm_id(label),
        label=label,
        config=configs[task.id, label],
        steps=suite.training.steps,
        evaluation=EvaluationSpec(every=suite.evaluation.every, episodes=suite.evaluation.episodes),
        seed=seed,
        precision=suite.training.precision,
        compiled=suite.training.compile,
        device="cuda" if suite.resources.gpus_per_trial > 0 else "cpu",
        engine_version=ENGINE_VERSION,
    )


def _select(suite: Suite, tasks: Sequence[TaskSpec], only: Sequence[str]) -> set[tuple[str, str]]:
    """The (task, label) cells that match any of the patterns. Raises UserError for none."""
    cells = [(task.id, label) for task in tasks for label in suite.algorithms]
    if not only:
        return set(cells)
    chosen = {
        (task_id, label)
        for task_id, label in cells
        for pattern in only
        if any(fnmatchcase(name, pattern) for name in (f"{task_id}/{label}", label, task_id))
    }
    if not chosen:
        raise UserError(
            f"--only {' '.join(only)} selects nothing in suite '{suite.name}'. Its tasks: "
            f"{', '.join(task.id for task in tasks)}. Its algorithms: "
            f"{', '.join(suite.algorithms)}. A pattern matches task/algorithm, an algorithm, "
            "or a task; * stands for anything."
        )
    return chosen


def _dataset_hashes(
    tasks: Sequence[TaskSpec], needed: set[str], progress: Report
) -> dict[str, str]:
    """Sha256 of each task's data; data not needed now is not made, and its task left out."""
    from harness.data import ensure

    hashes = {}
    for task in tasks:
        try:
            hashes[task.id] = ensure(task, make=task.id in needed, progress=progress).sha256
        except UserError:
            if task.id in needed:
                raise
    return hashes


def _shrunk(suite: Suite) -> Suite:
    """The suite with budgets of seconds; it still evaluates twice and stacks two seeds."""
    training = suite.training.model_copy(update={"steps": _SMOKE_STEPS, "compile": False})
    every = {"every": _SMOKE_STEPS // 2, "episodes": 2}
    evaluation = suite.evaluation.model_copy(update=every)
    return suite.model_copy(
        update={
            "name": f"{suite.name}-smoke",
            "seeds": suite.seed_list[:2],
            "training": training,
            "evaluation": evaluation,
        }
    )
