"""From a suite to its runs: which there are, which were asked for, which are done already.

Reads files and makes none: `prepare` makes the data that a plan is about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property, partial
from pathlib import Path

from algorithms import registry
from algorithms.action_selection import parse_action_selection
from algorithms.engine.version import ENGINE_VERSION
from algorithms.source import code_digest
from harness.data.returns import mean_return
from harness.errors import UserError
from harness.execution.smoke import SMOKE_CONFIG, shrunk, smoke_tasks
from harness.runs.archive import ensure_undamaged
from harness.runs.earlier import earlier_run
from harness.runs.folder import RunFolder
from harness.runs.outline import planned_published, row_info
from harness.runs.spec import EvaluationSpec, RunSpec
from harness.runs.suite_file import (
    PlannedData,
    PlannedEvaluation,
    PlannedPublished,
    PlannedRun,
    PlannedTuning,
    RowInfo,
    SuiteFile,
)
from harness.runs.tuning import choices
from harness.suite.abilities import ability_problems
from harness.suite.configs import Configs, resolve_configs
from harness.suite.figures import figure_problems, parse_figures
from harness.suite.rows import Row
from harness.suite.schema import Suite, load_suite, suite_tasks
from harness.suite.tuning import Tuning, choosing_tasks, equal_settings, tuning_problems
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

    @cached_property
    def needed(self) -> set[tuple[str, str]]:
        """The chosen cells, and those whose tuning they share."""
        tuning = self.suite.tuning
        if tuning is None or tuning.per == "task":
            return self.chosen
        families = {task.id: task.family for task in self.tasks}
        tuned = {(families[task_id], label) for task_id, label in self.chosen}
        return self.chosen | {
            (task.id, row.label)
            for task in tuning.choosing(self.tasks)
            for row in self.suite.rows
            if row.runs_on(task.id) and (task.family, row.label) in tuned
        }

    @property
    def needed_tasks(self) -> list[TaskSpec]:
        """The tasks whose data the needed cells learn from."""
        needed = {task_id for task_id, _ in self.needed}
        return [task for task in self.tasks if task.id in needed]

    def plan(self, hashes: Mapping[str, str], *, keep: bool = False) -> Plan:
        """Every run on the tasks with data.

        Args:
            hashes: sha256 of the data by task id.
            keep: leave the chosen cells' runs that were finished by earlier code of their method,
                as those of other cells are left.

        Raises UserError if what tuning has found, or an archive of runs, cannot be read.
        """
        found = _Found(self.directory, keep)
        tuning: PlannedTuning | None = None
        chosen: dict[tuple[str, str], str | None] = {}
        if self.suite.tuning is not None:
            tuning, chosen = self._tune(self.suite.tuning, hashes, found)
        runs: list[RunSpec] = []
        undecided: list[RunSpec] = []
        for spec in self._wanted(hashes, self.suite.rows, self.suite.seed_list, self.tasks):
            cell = spec.task.id, spec.label
            setting = chosen.get(cell, spec.label)
            if setting is None:
                undecided += [spec] if cell in self.chosen else []
                continue
            if setting != spec.label:
                spec = spec.model_copy(update={"config": self.configs[spec.task.id, setting]})
            runs.append(found.add(spec, chosen=cell in self.chosen))
        return Plan(
            suite=self.suite,
            directory=self.directory,
            tasks=self.tasks,
            hashes=hashes,
            configs=self.configs,
            tuning=tuning,
            runs=runs,
            undecided=undecided,
            selected=found.selected,
            left=found.left,
            kept=found.kept,
            outdated=found.outdated,
            smoke=self.smoke,
            file=self.file,
            published=self.published,
            again=partial(self.plan, hashes, keep=keep),
        )

    def _tune(
        self, tuning: Tuning, hashes: Mapping[str, str], found: _Found
    ) -> tuple[PlannedTuning, dict[tuple[str, str], str | None]]:
        """The tuning runs, and by cell the setting that they have chosen; None: not yet."""
        rows = self.suite.settings
        bases = {row.label: row.base for row in rows}
        specs = [
            found.add(spec, chosen=(spec.task.id, bases[spec.label]) in self.needed)
            for spec in self._wanted(hashes, rows, tuning.seeds, tuning.choosing(self.tasks))
        ]
        planned = PlannedTuning(
            per=tuning.per,
            tasks=tuning.tasks,
            seeds=tuning.seeds,
            rows=_row_infos(rows, self.tasks, self.configs),
            runs=_planned_runs(specs, found.kept),
        )
        protocol = self.suite.evaluation.protocol
        return planned, {
            (task_id, choice.label): choice.chosen
            for choice in choices(self.directory, self.tasks, planned, protocol)
            for task_id in choice.tasks
        }

    def _wanted(
        self,
        hashes: Mapping[str, str],
        rows: Sequence[Row],
        seeds: Sequence[int],
        tasks: Sequence[TaskSpec],
    ) -> list[RunSpec]:
        """Every run of the rows on those of the tasks with data, as today's code makes it."""
        known = registry.algorithms()
        codes = {name: code_digest(known[name].module) for name in {row.algorithm for row in rows}}
        return [
            _run_spec(
                self.suite, task, row, seed, self.configs, hashes[task.id], codes[row.algorithm]
            )
            for task in tasks
            if task.id in hashes
            for row in rows
            if row.runs_on(task.id)
            for seed in seeds
        ]


class _Found:
    """Sorts runs by what a results folder has of them; `keep` is as in `Draft.plan`."""

    def __init__(self, directory: Path, keep: bool) -> None:
        self._directory = directory
        self._keep = keep
        self.selected: list[RunSpec] = []
        self.left: list[RunSpec] = []
        self.kept: list[RunSpec] = []
        self.outdated: list[RunSpec] = []

    def add(self, spec: RunSpec, *, chosen: bool) -> RunSpec:
        """The run that counts: as today's code makes it, or as earlier code has.

        Raises UserError if an archive that may hold it is damaged.
        """
        ensure_undamaged(self._directory / spec.folder)
        done = RunFolder(self._directory / spec.folder).is_done()
        earlier = None if done else earlier_run(self._directory, spec)
        if earlier is not None and chosen and not self._keep:
            self.outdated.append(earlier)
        elif earlier is not None:
            self.kept.append(earlier)
        run = earlier if earlier is not None and (self._keep or not chosen) else spec
        if chosen:
            self.selected.append(run)
        if chosen and run is spec and not done:
            self.left.append(run)
        return run


@dataclass(frozen=True)
class Plan:
    """All runs of a suite, and those that this invocation was asked for.

    `runs` are final ones; those that choose their settings are in `tuning`. `undecided` are final
    runs asked for whose setting is still to be chosen, with their row's own in its place: to be
    counted, never to be run.

    Of both kinds: `left` are those asked for that were not done when this was planned. `kept` are
    those of all runs that earlier code of their method has finished. `outdated` are such runs too,
    which today's code is to replace.
    """

    suite: Suite
    directory: Path  # results/<suite>, absolute
    tasks: list[TaskSpec]
    hashes: Mapping[str, str]  # sha256 of the tasks' data, as far as they are there
    configs: Configs
    tuning: PlannedTuning | None
    runs: list[RunSpec]
    undecided: list[RunSpec]
    selected: list[RunSpec]
    left: list[RunSpec]
    kept: list[RunSpec]
    outdated: list[RunSpec]
    smoke: bool
    file: str  # of the suite, without its folder
    published: PlannedPublished
    again: Callable[[], Plan]  # the same suite, by what its results folder says by then

    def folder(self, spec: RunSpec) -> RunFolder:
        return RunFolder(self.directory / spec.folder)

    def unfinished(self) -> list[RunSpec]:
        """The selected runs that are not done yet.

        Those that were done when this was planned are not looked at again: that means reading, for
        every run, all of its files.
        """
        return [spec for spec in self.left if not self.folder(spec).is_done()]

    @property
    def asked_for(self) -> int:
        """How many runs, with those whose setting is still to be chosen."""
        return len(self.selected) + len(self.undecided)

    def tunes(self, spec: RunSpec) -> bool:
        """Whether a run is to choose a setting."""
        return self.tuning is not None and spec.seed in self.tuning.seeds

    def afresh(self) -> Plan:
        """The same with every selected run to be trained again."""
        return replace(self, left=self.selected)

    def suite_file(self, command: str) -> SuiteFile:
        """What the results folder is to say of the suite; `command` makes all of its results."""
        suite = self.suite
        chosen = {(spec.task.id, spec.label): spec.config for spec in self.runs}
        return SuiteFile(
            name=suite.name,
            file=self.file,
            title=suite.title,
            question=suite.question,
            command=command,
            tasks=self.tasks,
            data=_planned_data(self.hashes),
            rows=_row_infos(suite.rows, self.tasks, {**self.configs, **chosen}),
            compare_to=suite.compare_to,
            seeds=suite.seed_list,
            steps=suite.training.steps,
            online_steps=suite.training.online_steps,
            evaluation=PlannedEvaluation(**suite.evaluation.model_dump()),
            figures=suite.figures,
            published=self.published,
            tuning=self.tuning,
            runs=_planned_runs(self.runs, self.kept),
            smoke=self.smoke,
        )


def _planned_runs(specs: Iterable[RunSpec], kept: Iterable[RunSpec]) -> list[PlannedRun]:
    """What the results folder is to say of runs, of which some are kept from earlier code."""
    earlier = {spec.hash for spec in kept}
    return [
        PlannedRun(
            task=spec.task.id,
            label=spec.label,
            seed=spec.seed,
            path=str(spec.folder),
            hash=spec.hash,
            kept=spec.hash in earlier,
        )
        for spec in specs
    ]


def _planned_data(hashes: Mapping[str, str]) -> dict[str, PlannedData]:
    """What the results folder is to say of the data with these hashes, by task id."""
    means = {task_id: (sha256, mean_return(sha256)) for task_id, sha256 in hashes.items()}
    return {
        task_id: PlannedData(sha256=sha256, mean_return=mean)
        for task_id, (sha256, mean) in means.items()
        if mean is not None
    }


def _row_infos(rows: Sequence[Row], tasks: Sequence[TaskSpec], configs: Configs) -> list[RowInfo]:
    """What the results folder is to say of rows, with their configs on the first of their tasks."""
    known = registry.algorithms()
    return [
        row_info(
            row,
            known[row.algorithm],
            tasks,
            action_selection=_acting(row) or registry.load(row.algorithm).action_selection,
            acts_by_entry=bool(_acting(row)),
            config=configs[next(task.id for task in tasks if row.runs_on(task.id)), row.label],
        )
        for row in rows
    ]


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
        only: patterns of `task/label`, label or task, a label being a row's or its entry's; none
            selects everything.
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
    problems += ability_problems(suite, tasks, configs)
    if suite.tuning is not None:
        problems += tuning_problems(suite.tuning, suite.algorithms, suite.seed_list)
        problems += choosing_tasks(suite.tuning, suite.rows, tasks)
        if not smoke:  # which has the same small networks for all
            problems += equal_settings(suite.settings, tasks, configs)
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
    runs, more = cells * len(suite.seed_list), ""
    if suite.tuning is not None:
        choosing = suite.tuning.choosing(tasks)
        tried = sum(row.runs_on(task.id) for row in suite.settings for task in choosing)
        tuning = tried * len(suite.tuning.seeds)
        runs, more = runs + tuning, f", and {tuning:,} that choose their settings"
    if runs <= _MOST_RUNS:
        return None
    return Problem(
        (),
        f"it stands for {runs:,} runs ({cells:,} pairs of task and row, {len(suite.seed_list):,} "
        f"seeds each{more}), and a suite may have at most {_MOST_RUNS:,}. Take fewer seeds, or "
        "make several suites of it",
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
            first=evaluation.first,
            episodes=evaluation.episodes,
            action_selection=_acting(row),
            action_selections=tuple(evaluation.action_selections),
        ),
        seed=seed,
        precision=suite.training.precision,
        compiled=suite.training.compile,
        device="cuda" if suite.resources.gpus_per_trial > 0 else "cpu",
        engine_version=ENGINE_VERSION,
    )


def _acting(row: Row) -> str:
    """The action selection that its entry asks for; empty where its method acts so by itself."""
    asked, own = row.entry.action_selection, registry.load(row.algorithm).action_selection
    if asked is None or parse_action_selection(asked) == parse_action_selection(own):
        return ""
    return asked


def _select(suite: Suite, tasks: Sequence[TaskSpec], only: Sequence[str]) -> set[tuple[str, str]]:
    """The (task, label) cells that match any of the patterns. Raises UserError for none."""
    rows = suite.rows
    chosen = {
        (task.id, row.label)
        for task in tasks
        for row in rows
        if row.runs_on(task.id) and (not only or _matches(task.id, row, only))
    }
    if not chosen:
        raise UserError(
            f"--only {' '.join(only)} selects nothing in suite '{suite.name}'. Its tasks: "
            f"{', '.join(task.id for task in tasks)}. Its algorithms: "
            f"{', '.join(row.label for row in rows)}. A pattern matches task/algorithm, an "
            "algorithm, with all rows of its sweep or one, or a task; * stands for anything."
        )
    return chosen


def _matches(task_id: str, row: Row, patterns: Sequence[str]) -> bool:
    """Whether any of the patterns names the task, the row or its entry, or both."""
    names = [task_id]
    for label in {row.label, row.base}:
        names += [label, f"{task_id}/{label}"]
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _without_gpu(suite: Suite) -> Suite:
    """The suite on the CPU. Its numbers differ in rounding, so that it has a name of its own."""
    resources = suite.resources.model_copy(update={"gpus_per_trial": 0})
    return suite.model_copy(update={"name": f"{suite.name}-cpu", "resources": resources})
