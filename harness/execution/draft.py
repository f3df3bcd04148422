"""From a suite file to its runs: the suite is read and checked, then planned.

Reads files and makes none: `prepare` makes the data that a plan is about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property, partial
from pathlib import Path

from harness.errors import UserError
from harness.execution.plan import Plan, planned_rows, planned_runs
from harness.execution.run_specs import FoundRuns, run_specs
from harness.execution.smoke import SMOKE_CONFIG, shrunk, smoke_tasks
from harness.runs.outline import planned_published
from harness.runs.spec import RunSpec
from harness.runs.suite_file import PlannedPublished, PlannedTuning
from harness.runs.tuning import choices
from harness.suite.abilities import ability_problems
from harness.suite.configs import Configs, resolve_configs
from harness.suite.figures import figure_problems, parse_figures
from harness.suite.rows import Row
from harness.suite.schema import Suite, load_suite, suite_tasks
from harness.suite.tuning import choosing_tasks, equal_settings, tuning_problems
from harness.suite.yaml_file import Problem
from harness.tasks.spec import TaskSpec

_MOST_RUNS = 100_000
_MOST_SEEDS = 1000


@dataclass(frozen=True)
class RunOptions:
    """What of a suite is asked for, and how; by default all of it, as it is written.

    Attributes:
        only: patterns of `task/label`, label or task, a label being a row's or its entry's; none
            selects everything.
        seeds: a number of seeds instead of the suite's.
        smoke: shrink everything to seconds, and put stand-ins in the place of data that cannot be
            made in seconds.
        cpu: train without the GPU that the suite may ask for.
        fresh: train the selected runs again that are finished.
        keep: leave the selected runs that were finished by earlier code of their method, as those
            of other cells are left.
    """

    only: Sequence[str] = ()
    seeds: int | None = None
    smoke: bool = False
    cpu: bool = False
    fresh: bool = False
    keep: bool = False


AS_WRITTEN = RunOptions()


@dataclass(frozen=True)
class Draft:
    """A suite that was read and checked, and the cells asked for; their data may not be there yet.

    Attributes:
        suite: as it will be run: shrunk for smoke runs, with other seeds or devices if asked for.
        directory: results/<suite>, absolute.
        tasks: the suite's tasks.
        configs: of every cell.
        chosen: the (task id, label) cells asked for.
        options: which of it was asked for, and how.
        file: of the suite, without its folder.
        published: which published scores its tables show.
    """

    suite: Suite
    directory: Path
    tasks: list[TaskSpec]
    configs: Configs
    chosen: set[tuple[str, str]]
    options: RunOptions
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

    def plan(self, hashes: Mapping[str, str]) -> Plan:
        """Every run on the tasks with data, which `hashes` has the sha256 of, by task id.

        Raises UserError if what tuning has found, or an archive of runs, cannot be read.
        """
        found = FoundRuns(self.directory, keep=self.options.keep)
        tuning, settings = self._tune(hashes, found)
        runs, undecided = self._final_runs(hashes, settings, found)
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
            smoke=self.options.smoke,
            file=self.file,
            published=self.published,
            again=partial(self.plan, hashes),
        )

    def _tune(
        self, hashes: Mapping[str, str], found: FoundRuns
    ) -> tuple[PlannedTuning | None, dict[tuple[str, str], str | None]]:
        """The tuning runs, and by cell the setting that they have chosen; None: not yet."""
        tuning, rows = self.suite.tuning, self.suite.settings
        if tuning is None:
            return None, {}
        bases = {row.label: row.base for row in rows}
        tasks = tuning.choosing(self.tasks)
        specs = [
            found.add(spec, chosen=(spec.task.id, bases[spec.label]) in self.needed)
            for spec in self._specs(hashes, rows, tuning.seeds, tasks)
        ]
        planned = PlannedTuning(
            per=tuning.per,
            tasks=tuning.tasks,
            seeds=tuning.seeds,
            rows=planned_rows(rows, self.tasks, self.configs),
            runs=planned_runs(specs, found.kept),
        )
        protocol = self.suite.evaluation.protocol
        return planned, {
            (task_id, choice.label): choice.chosen
            for choice in choices(self.directory, self.tasks, planned, protocol)
            for task_id in choice.tasks
        }

    def _final_runs(
        self,
        hashes: Mapping[str, str],
        settings: Mapping[tuple[str, str], str | None],
        found: FoundRuns,
    ) -> tuple[list[RunSpec], list[RunSpec]]:
        """The final runs, and those asked for whose setting is still to be chosen."""
        runs: list[RunSpec] = []
        undecided: list[RunSpec] = []
        for spec in self._specs(hashes, self.suite.rows, self.suite.seed_list, self.tasks):
            cell = spec.task.id, spec.label
            setting = settings.get(cell, spec.label)
            if setting is None:
                undecided += [spec] if cell in self.chosen else []
                continue
            if setting != spec.label:
                spec = spec.model_copy(update={"config": self.configs[spec.task.id, setting]})
            runs.append(found.add(spec, chosen=cell in self.chosen))
        return runs, undecided

    def _specs(
        self,
        hashes: Mapping[str, str],
        rows: Sequence[Row],
        seeds: Sequence[int],
        tasks: Sequence[TaskSpec],
    ) -> list[RunSpec]:
        return run_specs(self.suite, self.configs, hashes, rows=rows, seeds=seeds, tasks=tasks)


def draft(suite_path: Path, results: Path, options: RunOptions = AS_WRITTEN) -> Draft:
    """Read a suite and check all of it that can be checked without its data.

    Args:
        suite_path: the suite file.
        results: the folder of all suites' results.
        options: what of it is asked for.

    Raises:
        UserError: anything wrong with the suite or the selection.
    """
    _refuse(options)
    suite, document = load_suite(suite_path)
    tasks = list(smoke_tasks(suite)) if options.smoke else suite_tasks(suite)
    suite = _as_asked(suite, options)
    if problem := _run_count_problem(suite, tasks):
        raise document.error([problem])
    configs = resolve_configs(suite, document, tasks, SMOKE_CONFIG if options.smoke else {})
    problems = _problems(suite, tasks, configs, same_networks=options.smoke)
    if problems:
        raise document.error(problems)
    return Draft(
        suite=suite,
        directory=(results / suite.name).absolute(),
        tasks=tasks,
        configs=configs,
        chosen=_select(suite, tasks, options.only),
        options=options,
        file=suite_path.name,
        published=planned_published(suite, suite_path),
    )


def _refuse(options: RunOptions) -> None:
    """Raises UserError for what cannot be asked for, by a program as well."""
    seeds = options.seeds
    if seeds is not None and (type(seeds) is not int or not 1 <= seeds <= _MOST_SEEDS):
        raise UserError(f"seeds is a number of seeds, 1 to {_MOST_SEEDS:,}: {seeds!r}.")
    if options.fresh and options.keep:
        raise UserError("fresh deletes the runs that keep would keep: give one of them.")


def _as_asked(suite: Suite, options: RunOptions) -> Suite:
    """The suite as it will be run."""
    if options.seeds is not None:
        suite = suite.model_copy(update={"seeds": list(range(options.seeds))})
    if options.smoke:
        suite = shrunk(suite)
    if options.cpu and suite.resources.gpus_per_trial:
        suite = _without_gpu(suite)
    return suite


def _without_gpu(suite: Suite) -> Suite:
    """The suite on the CPU. Its numbers differ in rounding, so that it has a name of its own."""
    resources = suite.resources.model_copy(update={"gpus_per_trial": 0})
    return suite.model_copy(update={"name": f"{suite.name}-cpu", "resources": resources})


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


def _problems(
    suite: Suite, tasks: Sequence[TaskSpec], configs: Configs, *, same_networks: bool
) -> list[Problem]:
    """What is wrong with how the suite's parts go together.

    same_networks: all have the small ones of a smoke run, so that settings may well be equal.
    """
    problems = [*figure_problems(parse_figures(suite.figures)[0], suite.rows, tasks)]
    problems += ability_problems(suite, tasks, configs)
    if suite.tuning is not None:
        problems += tuning_problems(suite.tuning, suite.algorithms, suite.seed_list)
        problems += choosing_tasks(suite.tuning, suite.rows, tasks)
        if not same_networks:
            problems += equal_settings(suite.settings, tasks, configs)
    return problems


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
