"""The comparison: a cell for each task and row, averages over groups of tasks, who is best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from harness.errors import UserError, nearest
from harness.report import stats
from harness.report.action_selections import own_selections
from harness.report.earlier_code import earlier_mark
from harness.report.gate import Gate, critic_gate
from harness.report.records import Records
from harness.report.scales import Scales
from harness.runs.suite_file import SuiteFile

# Which of a run's evaluations make its score. `last` involves no selection by online returns.
PROTOCOLS = {
    "last": "the mean over the episodes of a run's last evaluation, with no choice of checkpoint",
}


@dataclass(frozen=True)
class Cell:
    """One row on one task: final scores of its finished seeds, in points."""

    scores: stats.Scores  # [finished seeds]
    planned: int  # seeds
    failed: int  # seeds

    @property
    def mean(self) -> float:
        return float(self.scores.mean())

    @property
    def std(self) -> float:
        return stats.population_std(self.scores)

    @property
    def interval(self) -> stats.Interval:
        return stats.t_interval(self.scores)


@dataclass(frozen=True)
class Group:
    """Tasks that are averaged together: those of one family, or all of the suite."""

    name: str
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Every number of the report that is about how well the rows did.

    Attributes:
        suite: what was planned.
        scores: one line per planned run: task, label, seed, action_selection, state, score or NaN.
        selection_scores: one line per finished run and action selection, further ones included:
            task, label, seed, action_selection, score.
        cells: by task and label.
        gate: whether critics could be trusted.
    """

    suite: SuiteFile
    scores: pd.DataFrame
    selection_scores: pd.DataFrame
    cells: dict[tuple[str, str], Cell]
    gate: Gate

    @cached_property
    def tasks(self) -> list[str]:
        return [task.id for task in self.suite.tasks]

    @cached_property
    def labels(self) -> list[str]:
        return [row.label for row in self.suite.rows]

    @cached_property
    def families(self) -> list[Group]:
        """Tasks by family, in the suite's order."""
        members: dict[str, list[str]] = {}
        for task in self.suite.tasks:
            members.setdefault(task.family, []).append(task.id)
        return [Group(name, tuple(tasks)) for name, tasks in members.items()]

    @cached_property
    def scales(self) -> Scales:
        """Which tasks' scores do not mean the same beside each other."""
        return Scales(self.suite.tasks)

    @cached_property
    def everything(self) -> Group:
        return Group(f"all {len(self.tasks)} tasks", tuple(self.tasks))

    def applies(self, label: str, tasks: Sequence[str]) -> bool:
        """Whether the suite has the label run on all of the tasks."""
        row = next(row for row in self.suite.rows if row.label == label)
        return all(row.runs_on(task) for task in tasks)

    def mark(self, label: str, tasks: Sequence[str]) -> str:
        """What a score of the label on the tasks carries: notes say what it means."""
        return self.gate.mark(label, tasks) + earlier_mark(self.suite, label, tasks)

    def strata(self, label: str, tasks: Sequence[str]) -> list[stats.Scores] | None:
        """The label's scores by task, or None when a task has no finished seed."""
        scores = [self.cells[task, label].scores for task in tasks]
        return scores if all(len(stratum) for stratum in scores) else None

    def average(self, label: str, tasks: Sequence[str]) -> float | None:
        """Mean of the task means, in points; None when a task is missing."""
        strata = self.strata(label, tasks)
        return None if strata is None else float(stats.average(strata))

    def average_interval(self, label: str, tasks: Sequence[str]) -> stats.Interval:
        """95% interval of `average`; NaN bounds where there is none."""
        strata = self.strata(label, tasks)
        if strata is None:
            return stats.Interval(float("nan"), float("nan"))
        return stats.average_interval(strata)

    def best(self, tasks: Sequence[str]) -> frozenset[str]:
        """The label with the highest average on `tasks` and those not separated from it."""
        strata = {label: self.strata(label, tasks) for label in self.labels}
        complete = {label: scores for label, scores in strata.items() if scores is not None}
        first = max(complete, key=lambda label: float(stats.average(complete[label])), default="")
        return frozenset(
            label
            for label, scores in complete.items()
            if not stats.separated(complete[first], scores)
        )


def compare(records: Records) -> Comparison:
    """Score every run by the suite's protocol. Raises UserError for an unknown protocol."""
    suite = records.suite
    planned = records.runs[["task", "label", "seed", "state"]]
    planned.insert(3, "action_selection", planned["label"].map(own_selections(suite)))
    episodes = pd.concat([records.evaluations, records.other_selections])
    measured = final_scores(episodes, suite.evaluation.protocol)
    run = ["task", "label", "seed"]
    finished = planned.loc[planned["state"] == "done", run]
    selection_scores = measured.merge(finished, on=run)
    scores = planned.merge(selection_scores, how="left", on=[*run, "action_selection"])
    cells = {}
    for task in suite.tasks:
        for row in suite.rows:
            runs = scores[(scores["task"] == task.id) & (scores["label"] == row.label)]
            cells[task.id, row.label] = Cell(
                scores=runs["score"].dropna().to_numpy(np.float64),
                planned=len(runs),
                failed=int((runs["state"] == "failed").sum()),
            )
    return Comparison(
        suite=suite,
        scores=scores,
        selection_scores=selection_scores,
        cells=cells,
        gate=critic_gate(suite, selection_scores, records.metrics.merge(finished, on=run)),
    )


def final_scores(evaluations: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """One line per run and action selection, with its `score`, in points, under `protocol`."""
    if protocol not in PROTOCOLS:
        raise UserError(
            f"suite.json asks for the evaluation protocol '{protocol}', known: "
            f"{', '.join(PROTOCOLS)}.{nearest(protocol, PROTOCOLS)}"
        )
    run = ["task", "label", "seed", "action_selection"]
    last = evaluations[evaluations["step"] == evaluations.groupby(run)["step"].transform("max")]
    means: pd.Series[float] = last.groupby(run)["normalized_score"].mean()
    return means.rename("score").reset_index()
