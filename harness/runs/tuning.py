"""Which setting tuning chooses for a row, from the files of its runs alone.

The rule: the highest score, of the suite's protocol, on average over tuning seeds and tasks; among
equals the first, and a row's own setting is the first of all. A setting of which a run has failed
is not chosen. Nothing is, before every run of the row there has ended.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import UserError
from harness.runs.folder import RunFolder, read_json
from harness.runs.suite_file import PlannedRun, PlannedTuning, RowInfo
from harness.statistics.protocols import Protocol, parse_protocol
from harness.tasks.spec import TaskSpec

_DONE = "done"
_ENDED = {_DONE, "failed"}


@dataclass(frozen=True)
class Tried:
    """A run of a setting, and its score, in points; None unless it is done."""

    task: str
    seed: int
    state: str  # as of a run, or missing, damaged, stale
    score: float | None
    path: str = ""  # of the run, if one is planned


@dataclass(frozen=True)
class Setting:
    """A setting on the tasks that it was tried on."""

    row: RowInfo
    runs: list[Tried]

    @property
    def mean(self) -> float | None:
        """Over seeds and then tasks; None unless every run is done."""
        by_task: dict[str, list[float]] = {}
        for run in self.runs:
            if run.score is None:
                return None
            by_task.setdefault(run.task, []).append(run.score)
        return float(np.mean([np.mean(scores) for scores in by_task.values()]))


@dataclass(frozen=True)
class Choice:
    """What tuning has found for a row on a task, or on the tasks of a family.

    Attributes:
        place: id of the task, or name of the family.
        tasks: those that the chosen setting is for.
        label: of the row.
        settings: all that were tried, the row's own first.
    """

    place: str
    tasks: tuple[str, ...]
    label: str
    settings: list[Setting]

    @property
    def chosen(self) -> str | None:
        """Label of the setting for the final runs; None: not known yet, or all have failed."""
        states = {run.state for setting in self.settings for run in setting.runs}
        means = {setting.row.label: setting.mean for setting in self.settings}
        finished = {label: mean for label, mean in means.items() if mean is not None}
        if not finished or not states <= _ENDED:
            return None
        return max(finished, key=lambda label: finished[label])  # the first of equals


def choices(
    directory: Path, tasks: Sequence[TaskSpec], tuning: PlannedTuning, protocol: str
) -> list[Choice]:
    """What tuning has found so far for every row, by the files in a suite's results folder.

    Raises UserError if a run has too few evaluations for the protocol.
    """
    reader = _Reader(directory, tuning, parse_protocol(protocol))
    places: dict[str, list[str]] = {}
    for task in tasks:
        places.setdefault(task.id if tuning.per == "task" else task.family, []).append(task.id)
    rows: dict[str, list[RowInfo]] = {}
    for row in tuning.rows:
        rows.setdefault(row.base, []).append(row)
    tried_on = {task.id for task in tasks} if tuning.tasks is None else {*tuning.tasks}
    return [
        Choice(
            place,
            here,
            label,
            [reader.setting(row, [task for task in here if task in tried_on]) for row in settings],
        )
        for place, members in places.items()
        for label, settings in rows.items()
        if (here := tuple(task for task in members if settings[0].runs_on(task)))
    ]


class _Reader:
    """Reads the scores of tuning runs."""

    def __init__(self, directory: Path, tuning: PlannedTuning, protocol: Protocol) -> None:
        self._directory = directory
        self._seeds = tuning.seeds
        self._protocol = protocol
        self._runs = {(run.task, run.label, run.seed): run for run in tuning.runs}

    def setting(self, row: RowInfo, tasks: Sequence[str]) -> Setting:
        return Setting(
            row, [self._tried(row, task, seed) for task in tasks for seed in self._seeds]
        )

    def _tried(self, row: RowInfo, task: str, seed: int) -> Tried:
        run = self._runs.get((task, row.label, seed))  # none where the task's data are not there
        state = "missing" if run is None else self._state(run)
        if run is None:
            return Tried(task, seed, state, None)
        score = self._score(run, row.action_selection) if state == _DONE else None
        return Tried(task, seed, state, score, run.path)

    def _state(self, run: PlannedRun) -> str:
        folder = RunFolder(self._directory / run.path)
        status = folder.status()
        if status is None or folder.link_below(self._directory):
            return "missing"
        if status.state != _DONE:
            return status.state
        if status.evaluated_step != status.total_steps or folder.damage(status):
            return "damaged"
        spec = read_json(folder.path / "spec.json") or {}
        return _DONE if spec.get("hash") == run.hash else "stale"

    def _score(self, run: PlannedRun, selection: str) -> float:
        table = RunFolder(self._directory / run.path).read_table("evaluations") or b""
        by_step: dict[int, list[float]] = {}
        for line in csv.DictReader(io.StringIO(table.decode())):
            if line["action_selection"] == selection:
                by_step.setdefault(int(line["step"]), []).append(float(line["normalized_score"]))
        means = np.array([np.mean(by_step[step]) for step in sorted(by_step)])
        if len(means) < self._protocol.evaluations:
            raise UserError(
                f"The protocol '{self._protocol.name}' needs {self._protocol.evaluations} "
                f"evaluations a run, and {run.path} has {len(means)}, so that no setting can be "
                "chosen by it: evaluate more often, or name another protocol."
            )
        return float(self._protocol.weights(means) @ means)
