"""The comparison: a cell for each task and row, averages over groups of tasks, who is best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from harness.errors import UserError
from harness.report.action_selections import own_selections
from harness.report.cells import Cell, final_scores, score_cells
from harness.report.gate import Gate, critic_gate
from harness.report.origins import machine_name, origin_mark
from harness.report.records import Records
from harness.report.scales import Scales
from harness.runs.checkout import Checkout
from harness.runs.suite_file import SuiteFile
from harness.statistics import intervals
from harness.statistics.intervals import Interval, Scores
from harness.statistics.paired import FEWEST_PAIRS, Difference, holm, paired_difference
from harness.statistics.protocols import Protocol, parse_protocol

ALPHA = 0.05
_RUN = ["task", "label", "seed"]


@dataclass(frozen=True)
class Group:
    """Tasks that are averaged together, of one family or of all; or that rank no methods."""

    name: str
    tasks: tuple[str, ...]
    ranks: bool = True


@dataclass(frozen=True)
class Comparison:
    """Every number of the report that is about how well the rows did.

    Attributes:
        suite: what was planned.
        protocol: by which all scores are.
        scores: one line per planned run: task, label, seed, action_selection, state, score and
            episode_error, or NaN.
        selection_scores: one line per finished run and action selection: task, label, seed,
            action_selection, score, episode_error. Further selections are evaluated once, at the
            end: they are among them by `last` alone.
        cells: by task and label.
        gate: whether critics could be trusted.
        checkouts: of what code the finished runs are, by path.
        machines: what the finished runs were made on, by path.
        one_code: whether all runs of a method are known to be of the same code, and of one engine.
    """

    suite: SuiteFile
    protocol: Protocol
    scores: pd.DataFrame
    selection_scores: pd.DataFrame
    cells: dict[tuple[str, str], Cell]
    gate: Gate
    checkouts: dict[str, Checkout]
    machines: dict[str, str]
    one_code: bool

    @cached_property
    def tasks(self) -> list[str]:
        return [task.id for task in self.suite.tasks]

    @cached_property
    def labels(self) -> list[str]:
        return [row.label for row in self.suite.rows]

    @cached_property
    def families(self) -> list[Group]:
        """Tasks by family, in the suite's order; those that rank no methods by themselves."""
        members: dict[tuple[str, bool], list[str]] = {}
        for task in self.suite.tasks:
            members.setdefault((task.family, task.ranks), []).append(task.id)
        return [
            Group(name if ranks else f"{name}, not ranked", tuple(tasks), ranks)
            for (name, ranks), tasks in members.items()
        ]

    @cached_property
    def ranking(self) -> list[Group]:
        """The families whose tasks rank methods."""
        return [family for family in self.families if family.ranks]

    @cached_property
    def unranked(self) -> list[str]:
        """The tasks that rank no methods."""
        return [task.id for task in self.suite.tasks if not task.ranks]

    @cached_property
    def averaged(self) -> list[Group]:
        """The groups that have an average of their own: families of several tasks, and all."""
        groups = [family for family in self.ranking if len(family.tasks) > 1]
        return [*groups, self.everything] if len(self.ranking) > 1 else groups

    @cached_property
    def scales(self) -> Scales:
        """Which tasks' scores do not mean the same beside each other."""
        return Scales(self.suite.tasks)

    @cached_property
    def everything(self) -> Group:
        """Every task that ranks methods."""
        tasks = tuple(task for task in self.tasks if task not in self.unranked)
        return Group(f"all {len(tasks)} {'ranked ' * bool(self.unranked)}tasks", tasks)

    @cached_property
    def charted(self) -> list[Group]:
        """What a chart of averages has: all tasks and families that rank, each other task alone."""
        averages = [self.everything, *self.ranking] if len(self.ranking) > 1 else self.ranking
        return [*averages, *(Group(task, (task,), ranks=False) for task in self.unranked)]

    def title(self, task: str) -> str:
        """A task's title."""
        return next(found.title for found in self.suite.tasks if found.id == task)

    @property
    def reference(self) -> str | None:
        """The label that the suite compares the others to, if it names one."""
        return self.suite.compare_to or None

    @property
    def score_name(self) -> str:
        """What a number is, for titles and axes: says so where online returns chose it."""
        return f"Normalized score{self.chosen_online}"

    @property
    def chosen_online(self) -> str:
        """What online returns chose, in brackets for the end of a title; empty if nothing."""
        chosen = ["TUNED ONLINE"] if self.suite.tuning is not None else []
        if self.protocol.selects_online:
            chosen.append(f"{self.protocol.name}: ONLINE SELECTION")
        return f" ({'; '.join(chosen)})" if chosen else ""

    def ranked(self, tasks: Sequence[str]) -> list[str]:
        """Labels by their mean over the tasks, best first; then those that have some of them alone.

        Tasks that rank no methods do not count; labels without a score stay in the suite's order.
        """
        counted = [
            task
            for task in tasks
            if task not in self.unranked
            and any(len(self.cells[task, label].scores) for label in self.labels)
        ]

        def place(label: str) -> tuple[bool, float]:
            cells = [self.cells[task, label] for task in counted]
            means = [cell.mean for cell in cells if len(cell.scores)]
            return len(means) == len(cells), sum(means) / len(means) if means else -math.inf

        return sorted(self.labels, key=place, reverse=True)

    def applies(self, label: str, tasks: Sequence[str]) -> bool:
        """Whether the suite has the label run on all of the tasks."""
        row = next(row for row in self.suite.rows if row.label == label)
        return all(row.runs_on(task) for task in tasks)

    def mark(self, label: str, tasks: Sequence[str]) -> str:
        """What a score of the label on the tasks carries: notes say what it means."""
        return self.gate.mark(label, tasks) + origin_mark(self.suite, label, tasks)

    def strata(self, label: str, tasks: Sequence[str]) -> list[Scores] | None:
        """The label's scores by task, or None if there is no task, or one has no finished seed."""
        scores = [self.cells[task, label].scores for task in tasks]
        return scores if scores and all(len(stratum) for stratum in scores) else None

    def average(self, label: str, tasks: Sequence[str]) -> float | None:
        """Mean of the task means, in points; None when a task is missing."""
        strata = self.strata(label, tasks)
        return None if strata is None else intervals.average(strata)

    def average_interval(self, label: str, tasks: Sequence[str]) -> Interval:
        """95% interval of `average`; NaN bounds where there is none."""
        strata = self.strata(label, tasks)
        return intervals.UNKNOWN if strata is None else intervals.average_interval(strata)

    def difference(self, label: str, other: str, tasks: Sequence[str]) -> Difference | None:
        """Of the label minus the other, paired by seed; None if they share none on some task."""
        differences = []
        for task in tasks:
            here, there = self.cells[task, label], self.cells[task, other]
            _, ours, theirs = np.intersect1d(here.seeds, there.seeds, return_indices=True)
            differences.append(here.scores[ours] - there.scores[theirs])
        return paired_difference(differences) if all(map(len, differences)) else None

    @cached_property
    def to_reference(self) -> dict[tuple[tuple[str, ...], str], tuple[Difference, float]]:
        """Differences to the reference by tasks and label, each with its p after Holm.

        Tasks are single ones or those of an average; the correction is over all of them together.
        """
        if self.reference is None:
            return {}
        found = {}
        for tasks in [*((task,) for task in self.tasks), *(group.tasks for group in self.averaged)]:
            for label in self.labels:
                difference = self.difference(label, self.reference, tasks)
                if label != self.reference and difference is not None:
                    found[tasks, label] = difference
        corrected = holm([difference.p for difference in found.values()])
        return {
            key: (difference, p)
            for (key, difference), p in zip(found.items(), corrected, strict=True)
        }

    def best(self, tasks: Sequence[str]) -> frozenset[str]:
        """The label with the highest average and those not told apart from it, by paired tests.

        Holm's correction is over the labels. Nothing without five seeds, and nothing on a task that
        ranks no methods; a label that shares fewer with the best is not among them.
        """
        if not {*tasks}.isdisjoint(self.unranked):
            return frozenset()
        averages = {label: self.average(label, tasks) for label in self.labels}
        complete = {label: mean for label, mean in averages.items() if mean is not None}
        first = max(complete, key=lambda label: complete[label], default="")
        if not first or min(len(self.cells[task, first].seeds) for task in tasks) < FEWEST_PAIRS:
            return frozenset()
        corrected = self.against(first, [label for label in complete if label != first], tasks)
        return frozenset({first} | {label for label, p in corrected.items() if p >= ALPHA})

    def against(self, label: str, others: Sequence[str], tasks: Sequence[str]) -> dict[str, float]:
        """p of the label's differences to the others, paired by seed, corrected for their number.

        Of those that share five seeds with it on every task.
        """
        compared = {
            other: difference
            for other in others
            if (difference := self.difference(label, other, tasks)) is not None
            and difference.pairs >= FEWEST_PAIRS
        }
        corrected = holm([difference.p for difference in compared.values()])
        return dict(zip(compared, corrected, strict=True))


def compare(records: Records, protocol: str | None = None) -> Comparison:
    """Score every run by a protocol, the suite's if none is named.

    Raises UserError if it is unknown or a run has too few evaluations for it.
    """
    suite = records.suite
    chosen = _protocol(protocol or suite.evaluation.protocol, asked=protocol is not None)
    planned = records.runs[[*_RUN, "state"]]
    planned.insert(3, "action_selection", planned["label"].map(own_selections(suite)))
    finished = planned.loc[planned["state"] == "done", _RUN]
    done = records.runs.loc[records.runs["state"] == "done", "path"]
    own = records.evaluations.merge(finished, on=_RUN)
    further = records.other_selections.merge(finished, on=_RUN)
    last = final_scores(pd.concat([own, further]), parse_protocol("last"))
    selection_scores = last if chosen.name == "last" else final_scores(own, chosen)
    scores = planned.merge(selection_scores, how="left", on=[*_RUN, "action_selection"])
    return Comparison(
        suite=suite,
        protocol=chosen,
        scores=scores,
        selection_scores=selection_scores,
        cells=score_cells(suite, scores),
        gate=critic_gate(suite, last, records.metrics.merge(finished, on=_RUN)),
        checkouts={path: Checkout.of(records.provenance.get(path, {})) for path in done},
        machines={path: machine_name(records.provenance.get(path, {})) for path in done},
        one_code=_one_code(records.specs[path] for path in done if path in records.specs),
    )


def _one_code(specs: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the specs of each method have one code, and all of them one version of the engine."""
    found = [
        tuple(spec.get(key, "") for key in ("algorithm", "code", "engine_version"))
        for spec in specs
    ]
    methods = {algorithm for algorithm, _, _ in found}
    engines = {engine for *_, engine in found}
    return len({*found}) == len(methods) and len(engines) == 1 and all(code for _, code, _ in found)


def _protocol(name: str, asked: bool) -> Protocol:
    try:
        return parse_protocol(name)
    except ValueError as error:
        where = "--protocol" if asked else "evaluation.protocol of suite.json"
        raise UserError(f"{where}: {error}.") from error
