"""From a suite to its runs: which there are, which were asked for, which are done already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from algorithms import registry
from algorithms.version import ENGINE_VERSION
from harness.configs import Configs, resolve_configs
from harness.data_progress import Report
from harness.errors import UserError
from harness.figures import figure_problems, parse_figures
from harness.results import RunFolder
from harness.spec import EvaluationSpec, RunSpec
from harness.suite import Suite, load_suite, suite_tasks, task_entries
from harness.sweep import Method
from harness.tasks import get_task
from harness.tasks.spec import TaskSpec
from harness.tasks.stand_in import with_stand_in
from harness.yaml_file import Problem

_SMOKE_STEPS = 60
_SMOKE_ONLINE_STEPS = 120  # longer than pen's episodes
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
    cpu: bool = False,
) -> Plan:
    """Read a suite, make the data it needs, and list its runs.

    Args:
        suite_path: the suite file.
        results: the folder of all suites' results.
        progress: told of data being made: what, done, total.
        only: patterns of `task/label`, label or task; none selects everything.
        seeds: a number of seeds instead of the suite's.
        smoke: shrink everything to seconds, and put stand-ins in the place of data that cannot be
            made in seconds.
        cpu: train without the GPU that the suite may ask for.

    Raises:
        UserError: anything wrong with the suite, the selection or the data.
    """
    suite, document = load_suite(suite_path)
    tasks = list(_smoke_tasks(suite)) if smoke else suite_tasks(suite)
    if seeds is not None:
        suite = suite.model_copy(update={"seeds": list(range(seeds))})
    if smoke:
        suite = _shrunk(suite)
    if cpu and suite.resources.gpus_per_trial:
        suite = _without_gpu(suite)
    final = _SMOKE_CONFIG if smoke else {}
    configs = resolve_configs(suite, document, tasks, final)
    problems = [*figure_problems(parse_figures(suite.figures)[0], suite.methods, tasks)]
    problems += _online_problems(suite)
    if problems:
        raise document.error(problems)
    chosen = _select(suite, tasks, only)
    hashes = _dataset_hashes(tasks, {task_id for task_id, _ in chosen}, progress)
    runs = [
        _run_spec(suite, task, method, seed, configs, hashes[task.id])
        for task in tasks
        if task.id in hashes
        for method in suite.methods
        if method.runs_on(task.id)
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


def _online_problems(suite: Suite) -> Iterator[Problem]:
    """Entries that cannot go on online, in a suite that asks for it."""
    if not suite.training.online_steps:
        return
    used = {label: entry.algorithm or label for label, entry in suite.algorithms.items()}
    able = {name: registry.load(name).learns_online() for name in used.values()}
    for label, algorithm in used.items():
        if not able[algorithm]:
            others = ", ".join(name for name, method in used.items() if able[method])
            yield Problem(
                ("algorithms", label),
                f"{algorithm} learns from data alone: leave it out, or set training.online_steps "
                f"to 0 (entries here that can go on online: {others or 'none'})",
            )


def _run_spec(
    suite: Suite, task: TaskSpec, method: Method, seed: int, configs: Configs, sha256: str
) -> RunSpec:
    evaluation = suite.evaluation
    return RunSpec(
        task=task,
        dataset_sha256=sha256,
        algorithm=method.algorithm,
        label=method.label,
        config=configs[task.id, method.label],
        steps=suite.training.steps,
        online_steps=suite.training.online_steps,
        evaluation=EvaluationSpec(
            every=evaluation.every,
            episodes=evaluation.episodes,
            action_selections=tuple(evaluation.action_selections),
        ),
        seed=seed,
        precision=suite.training.precision,
        compiled=suite.training.compile,
        device="cuda" if suite.resources.gpus_per_trial > 0 else "cpu",
        engine_version=ENGINE_VERSION,
    )


def _select(suite: Suite, tasks: Sequence[TaskSpec], only: Sequence[str]) -> set[tuple[str, str]]:
    """The (task, label) cells that match any of the patterns. Raises UserError for none."""
    methods = suite.methods
    cells = [(task.id, m.label) for task in tasks for m in methods if m.runs_on(task.id)]
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
            f"{', '.join(method.label for method in methods)}. A pattern matches "
            "task/algorithm, an algorithm, or a task; * stands for anything."
        )
    return chosen


def _dataset_hashes(
    tasks: Sequence[TaskSpec], needed: set[str], progress: Report
) -> dict[str, str]:
    """Sha256 of each task's data; data not needed now is not made, and its task left out.

    Nothing is made unless all that is needed is there or can be made.
    """
    from harness.data import ensure, require

    require(task for task in tasks if task.id in needed)
    hashes = {}
    for task in tasks:
        try:
            hashes[task.id] = ensure(task, make=task.id in needed, progress=progress).sha256
        except UserError:
            if task.id in needed:
                raise
    return hashes


def _smoke_tasks(suite: Suite) -> Iterator[TaskSpec]:
    """The suite's tasks with little data of their own kind, or stand-in data."""
    from harness.data.recipe import recipe_of

    for task_id, options in task_entries(suite):
        task = get_task(task_id, options)
        if recipe_of(task).makes_small:
            yield get_task(task_id, (options or {}) | {"transitions": _SMOKE_TRANSITIONS})
        else:
            yield with_stand_in(task, _SMOKE_TRANSITIONS)


def _without_gpu(suite: Suite) -> Suite:
    """The suite on the CPU. Its numbers differ in rounding, so that it has a name of its own."""
    resources = suite.resources.model_copy(update={"gpus_per_trial": 0})
    return suite.model_copy(update={"name": f"{suite.name}-cpu", "resources": resources})


def _shrunk(suite: Suite) -> Suite:
    """The suite with budgets of seconds; it still evaluates twice and stacks two seeds."""
    online_steps = min(suite.training.online_steps, _SMOKE_ONLINE_STEPS)
    shorter = {"steps": _SMOKE_STEPS, "online_steps": online_steps, "compile": False}
    training = suite.training.model_copy(update=shorter)
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
