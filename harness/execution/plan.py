"""From a suite to its runs: which there are, which were asked for, which are done already.

Reads files and makes none: `prepare` makes the data that a plan is about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from algorithms import registry
from algorithms.engine.version import ENGINE_VERSION
from algorithms.registry import AlgorithmInfo
from algorithms.source import code_digest
from harness.errors import UserError
from harness.execution.smoke import SMOKE_CONFIG, shrunk, smoke_tasks
from harness.runs.earlier import earlier_run
from harness.runs.folder import RunFolder
from harness.runs.outline import planned_published, row_info
from harness.runs.spec import EvaluationSpec, RunSpec
from harness.runs.suite_file import (
    PlannedEvaluation,
    PlannedPublished,
    PlannedRun,
    RowInfo,
    SuiteFile,
)
from harness.suite.configs import Configs, resolve_configs
from harness.suite.figures import figure_problems, parse_figures
from harness.suite.rows import Row
from harness.suite.schema import Suite, load_suite, suite_tasks
from harness.suite.yaml_file import Problem
from harness.tasks.spec import TaskSpec

_MOST_RUNS = 100_000


@dataclass(frozen=True)
class Draft:
    """A suite that was read and checked, and the cells asked for; their data may not be there yet.

    Attributes:
        suite: as it will be run: shrunk for smoke runs, with other seeds or devices if asked for.
        directory: results/<suite>, absolute.
        tasks: the suite's tasks.
        configs: of every cell.
        chosen: the (task id, label) cells asked for.
        smoke: whether this is a smoke run.
        file: of the suite, without its folder.
        published: which published scores its tables show.
    """

    suite: Suite
    directory: Path
    tasks: list[TaskSpec]
    configs: Configs
    chosen: set[tuple[str, str]]
    smoke: bool
    file: str
    published: PlannedPublished

    @property
    def needed_tasks(self) -> list[TaskSpec]:
        """The tasks whose data the chosen cells learn from."""
        needed = {task_id for task_id, _ in self.chosen}
        return [task for task in self.tasks if task.id in needed]

    def plan(self, hashes: Mapping[str, str], *, keep: bool = False) -> Plan:
        """Every run on the tasks with data.

        Args:
            hashes: sha256 of the data by task id.
            keep: leave the chosen cells' runs that were finished by earlier code of their method,
                as those of other cells are left.
        """
        runs: list[RunSpec] = []
        selected: list[RunSpec] = []
        left: list[RunSpec] = []
        kept: list[RunSpec] = []
        outdated: list[RunSpec] = []
        for spec in self._wanted(hashes):
            chosen = (spec.task.id, spec.label) in self.chosen
            done = RunFolder(self.directory / spec.folder).is_done()
            earlier = None if done else earlier_run(self.directory, spec)
            if earlier is not None and chosen and not keep:
                outdated.append(earlier)
            elif earlier is not None:
                kept.append(earlier)
            run = earlier if earlier is not None and (keep or not chosen) else spec
            runs.append(run)
            if chosen:
                selected.append(run)
            if chosen and run is spec and not done:
                left.append(run)
        return Plan(
            suite=self.suite,
            directory=self.directory,
            tasks=self.tasks,
            configs=self.configs,
            runs=runs,
            selected=selected,
            left=left,
            kept=kept,
            outdated=outdated,
            smoke=self.smoke,
            file=self.file,
            published=self.published,
        )

    def _wanted(self, hashes: Mapping[str, str]) -> list[RunSpec]:
        """Every run on the tasks with data, as today's code makes it."""
        rows = self.suite.rows
        known = registry.algorithms()
        codes = {name: code_digest(known[name].module) for name in {row.algorithm for row in rows}}
        return [
            _run_spec(
                self.suite, task, row, seed, self.configs, hashes[task.id], codes[row.algorithm]
            )
            for task in self.tasks
            if task.id in hashes
            for row in rows
            if row.runs_on(task.id)
            for seed in self.suite.seed_list
        ]


@dataclass(frozen=True)
class Plan:
    """All runs of a suite, and those that this invocation was asked for.

    `left` are those asked for that were not done when this was planned. `kept` are those of all
    runs that earlier code of their method has finished. `outdated` are such runs too, which today's
    code is to replace.
    """

    suite: Suite
    directory: Path  # results/<suite>, absolute
    tasks: list[TaskSpec]
    configs: Configs
    runs: list[RunSpec]
    selected: list[RunSpec]
    left: list[RunSpec]
    kept: list[RunSpec]
    outdated: list[RunSpec]
    smoke: bool
    file: str  # of the suite, without its folder
    published: PlannedPublished

    def folder(self, spec: RunSpec) -> RunFolder:
        return RunFolder(self.directory / spec.folder)

    def unfinished(self) -> list[RunSpec]:
        """The selected runs that are not done yet.

        Those that were done when this was planned are not looked at again: that means reading, for
        every run, all of its files.
        """
        return [spec for spec in self.left if not self.folder(spec).is_done()]

    def afresh(self) -> Plan:
        """The same with every selected run to be trained again."""
        return replace(self, left=self.selected)

    def suite_file(self, command: str) -> SuiteFile:
        """What the results folder is to say of the suite; `command` makes all of its results."""
        suite, known = self.suite, registry.algorithms()
        kept = {spec.hash for spec in self.kept}
        return SuiteFile(
            name=suite.name,
            file=self.file,
            title=suite.title,
            question=suite.question,
            command=command,
            tasks=self.tasks,
            rows=[self._row_info(row, known[row.algorithm]) for row in suite.rows],
            compare_to=suite.compare_to,
            seeds=suite.seed_list,
            steps=suite.training.steps,
            online_steps=suite.training.online_steps,
            evaluation=PlannedEvaluation(**suite.evaluation.model_dump()),
            figures=suite.figures,
            published=self.published,
            runs=[
                PlannedRun(
                    task=spec.task.id,
                    label=spec.label,
                    seed=spec.seed,
                    path=str(spec.folder),
                    hash=spec.hash,
                    kept=spec.hash in kept,
                )
                for spec in self.runs
            ],
            smoke=self.smoke,
        )

    def _row_info(self, row: Row, algorithm: AlgorithmInfo) -> RowInfo:
        first = next(task.id for task in self.tasks if row.runs_on(task.id))
        return row_info(
            row,
            algorithm,
            self.tasks,
            action_selection=registry.load(row.algorithm).action_selection,
            config=self.configs[first, row.label],
        )


def draft(
    suite_path: Path,
    results: Path,
    *,
    only: Sequence[str] = (),
    seeds: int | None = None,
    smoke: bool = False,
    cpu: bool = False,
) -> Draft:
    """Read a suite and check all of it that can be checked without its data.

    Args:
        suite_path: the suite file.
        results: the folder of all suites' results.
        only: patterns of `task/label`, label or task; none selects everything.
        seeds: a number of seeds instead of the suite's.
        smoke: shrink everything to seconds, and put stand-ins in the place of data that cannot be
            made in seconds.
        cpu: train without the GPU that the suite may ask for.

    Raises:
        UserError: anything wrong with the suite or the selection.
    """
    suite, document = load_suite(suite_path)
    tasks = list(smoke_tasks(suite)) if smoke else suite_tasks(suite)
    if seeds is not None:
        suite = suite.model_copy(update={"seeds": list(range(seeds))})
    if smoke:
        suite = shrunk(suite)
    if cpu and suite.resources.gpus_per_trial:
        suite = _without_gpu(suite)
    if problem := _run_count_problem(suite, tasks):
        raise document.error([problem])
    final = SMOKE_CONFIG if smoke else {}
    configs = resolve_configs(suite, document, tasks, final)
    problems = [*figure_problems(parse_figures(suite.figures)[0], suite.rows, tasks)]
    problems += _online_problems(suite)
    if problems:
        raise document.error(problems)
    return Draft(
        suite=suite,
        directory=(results / suite.name).absolute(),
        tasks=tasks,
        configs=configs,
        chosen=_select(suite, tasks, only),
        smoke=smoke,
        file=suite_path.name,
        published=planned_published(suite, suite_path),
    )


def _run_count_problem(suite: Suite, tasks: Sequence[TaskSpec]) -> Problem | None:
    """That there are more runs than a results folder can hold, if there are."""
    cells = sum(row.runs_on(task.id) for row in suite.rows for task in tasks)
    runs = cells * len(suite.seed_list)
    if runs <= _MOST_RUNS:
        return None
    return Problem(
        (),
        f"it stands for {runs:,} runs ({cells:,} pairs of task and row, {len(suite.seed_list):,} "
        f"seeds each), and a suite may have at most {_MOST_RUNS:,}. Take fewer seeds, or make "
        "several suites of it",
    )


def _online_problems(suite: Suite) -> Iterator[Problem]:
    """Entries that cannot go on online, in a suite that asks for it."""
    if not suite.training.online_steps:
        return
    used = {label: entry.algorithm or label for label, entry in suite.algorithms.items()}
    able = {name: registry.load(name).learns_online() for name in used.values()}
    for label, algorithm in used.items():
        if not able[algorithm]:
            others = ", ".join(name for name, algorithm in used.items() if able[algorithm])
            yield Problem(
                ("algorithms", label),
                f"{algorithm} learns from data alone: leave it out, or set training.online_steps "
                f"to 0 (entries here that can go on online: {others or 'none'})",
            )


def _run_spec(
    suite: Suite, task: TaskSpec, row: Row, seed: int, configs: Configs, sha256: str, code: str
) -> RunSpec:
    evaluation = suite.evaluation
    return RunSpec(
        task=task,
        dataset_sha256=sha256,
        algorithm=row.algorithm,
        code=code,
        label=row.label,
        config=configs[task.id, row.label],
        steps=suite.steps_of(row.entry),
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
    rows = suite.rows
    cells = [(task.id, row.label) for task in tasks for row in rows if row.runs_on(task.id)]
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
            f"{', '.join(row.label for row in rows)}. A pattern matches "
            "task/algorithm, an algorithm, or a task; * stands for anything."
        )
    return chosen


def _without_gpu(suite: Suite) -> Suite:
    """The suite on the CPU. Its numbers differ in rounding, so that it has a name of its own."""
    resources = suite.resources.model_copy(update={"gpus_per_trial": 0})
    return suite.model_copy(update={"name": f"{suite.name}-cpu", "resources": resources})
