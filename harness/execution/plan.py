"""A suite's runs: which there are, which were asked for, which are done already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from algorithms import registry
from harness.data.returns import mean_return
from harness.execution.run_specs import asked_selection
from harness.runs.folder import RunFolder
from harness.runs.outline import row_info
from harness.runs.spec import RunSpec
from harness.runs.suite_file import (
    PlannedData,
    PlannedEvaluation,
    PlannedPublished,
    PlannedRun,
    PlannedTuning,
    RowInfo,
    SuiteFile,
)
from harness.suite.configs import Configs
from harness.suite.rows import Row
from harness.suite.schema import Suite
from harness.tasks.spec import TaskSpec


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
            rows=planned_rows(suite.rows, self.tasks, {**self.configs, **chosen}),
            compare_to=suite.compare_to,
            seeds=suite.seed_list,
            steps=suite.training.steps,
            online_steps=suite.training.online_steps,
            evaluation=PlannedEvaluation(**suite.evaluation.model_dump()),
            figures=suite.figures,
            published=self.published,
            tuning=self.tuning,
            runs=planned_runs(self.runs, self.kept),
            smoke=self.smoke,
        )


def planned_runs(specs: Iterable[RunSpec], kept: Iterable[RunSpec]) -> list[PlannedRun]:
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


def planned_rows(rows: Sequence[Row], tasks: Sequence[TaskSpec], configs: Configs) -> list[RowInfo]:
    """What the results folder is to say of rows, with their configs on the first of their tasks."""
    known = registry.algorithms()
    return [
        row_info(
            row,
            known[row.algorithm],
            tasks,
            action_selection=asked_selection(row) or registry.load(row.algorithm).action_selection,
            acts_by_entry=bool(asked_selection(row)),
            config=configs[next(task.id for task in tasks if row.runs_on(task.id)), row.label],
        )
        for row in rows
    ]
