"""Whether a suite ranks methods as D4RL's published scores do: Kendall's τ, family by family."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.published import Literature, shipped
from harness.published.names import d4rl_tasks
from harness.report.comparison import Comparison, Group
from harness.report.layout import MISSING, Grid, GridRow, Text
from harness.report.records import Records
from harness.report.section import Section
from harness.statistics.intervals import Interval
from harness.statistics.rankings import (
    FEWEST_METHODS,
    kendall_tau,
    leave_one_out_tau,
    tau_interval,
)
from harness.tasks import get_task

PROTOCOL = "last"  # others are not to be mixed with it, nor ranked
COLUMNS = ("Methods", "Tasks", "Kendall's τ", "95% interval", "Published tasks", "Left-out τ")
_COUNTERPARTS = {"pointmaze": "maze2d"}  # families of D4RL's by ours, where their names differ


@dataclass(frozen=True)
class Agreement:
    """Two rankings of the same methods on a family of tasks.

    Attributes:
        family: of the suite's tasks, `tasks` of which rank methods.
        labels: rows whose method has a published score on each of the `published_tasks`.
        published: those scores, `[labels, published_tasks]`.
        ours: averages over the suite's tasks, `[labels]`; NaN where runs are not finished.
    """

    family: str
    tasks: int
    published_tasks: int
    labels: tuple[str, ...]
    published: NDArray[np.float64]
    ours: NDArray[np.float64]

    @property
    def both(self) -> NDArray[np.bool_]:
        """Which methods both rankings have, `[labels]`."""
        return np.isfinite(self.ours)

    @property
    def finished(self) -> int:
        """Methods that both rankings have."""
        return int(self.both.sum())

    @property
    def tau(self) -> float:
        """Between the averages; NaN below four methods."""
        if self.finished < FEWEST_METHODS:
            return math.nan
        return kendall_tau(self.ours[self.both], self.published[self.both].mean(1))

    @property
    def interval(self) -> Interval:
        return tau_interval(self.tau, self.finished)

    @property
    def left_out(self) -> float:
        """The published rankings' own τ of each task with the mean of the others.

        Of the methods that `tau` is of; of all where it is of none.
        """
        compared = self.published if math.isnan(self.tau) else self.published[self.both]
        return leave_one_out_tau(compared)


@dataclass(frozen=True)
class Ranking(Section):
    """The check of a benchmark: does it rank as the one that it stands for?"""

    @classmethod
    def all_of(cls, records: Records, comparison: Comparison) -> list[Self]:
        section = cls(records, comparison)
        return [section] if section.agreements else []

    @property
    def subject(self) -> str:
        return "the agreement of rankings"

    @cached_property
    def agreements(self) -> list[Agreement]:
        """Of every family with enough methods in common."""
        return agreements(self.comparison)

    def grids(self) -> list[Grid]:
        title = "Ranking of methods, ours against D4RL's as published"
        rows = tuple(GridRow(found.family, _texts(found)) for found in self.agreements)
        return [Grid(title, ("Family", *COLUMNS), rows)]

    def tables(self) -> dict[str, pd.DataFrame]:
        lines = [
            {
                "family": found.family,
                "protocol": self.comparison.protocol.name,
                "methods": found.finished,
                "planned_methods": len(found.labels),
                "tasks": found.tasks,
                "tau": found.tau,
                "tau_ci95_low": found.interval.low,
                "tau_ci95_high": found.interval.high,
                "published_tasks": found.published_tasks,
                "left_out_tau": found.left_out,
                "labels": "; ".join(found.labels),
            }
            for found in self.agreements
        ]
        return {"rankings": pd.DataFrame(lines)}

    def notes(self) -> tuple[str, ...]:
        methods = "; ".join(f"{each.family}: {', '.join(each.labels)}" for each in self.agreements)
        return (
            "Ranking of methods: Kendall's τ of our averages over a family's tasks (protocol "
            f"'{self.comparison.protocol.name}') and the published ones (protocol '{PROTOCOL}', "
            "the method's own paper first) over all of D4RL's tasks of that family, of the methods "
            f"that have a score on each of those ({methods}; of several settings of a method the "
            "first). 1: the same order; 0: as by chance. Interval: of the τ of methods of which "
            "these are a sample, by test inversion for bivariate normal scores. Left-out τ: of the "
            "published ranking on a task and that by the mean of the family's other tasks, of the "
            "same methods, on average: what a benchmark of the same kind can be expected to have. "
            f"Fewer than {FEWEST_METHODS} methods are too few, and "
            "families are never pooled.",
        )


def agreements(comparison: Comparison) -> list[Agreement]:
    """The families of which four methods or more have a published score on all of D4RL's tasks."""
    literature = Literature(comparison.suite.published.scores, shipped())
    found = (_agreement(comparison, literature, group) for group in comparison.ranking)
    return [agreement for agreement in found if len(agreement.labels) >= FEWEST_METHODS]


def _agreement(comparison: Comparison, literature: Literature, group: Group) -> Agreement:
    theirs = _COUNTERPARTS.get(group.name, group.name)
    published_tasks = [task for task in d4rl_tasks() if get_task(task).family == theirs]
    labels: dict[str, str] = {}
    for row in comparison.suite.rows:
        if not row.acts_by_entry:
            labels.setdefault(literature.method_of(row.base, row.id), row.label)
    rows = {}
    for method, label in labels.items():
        cells = [literature.cell(task, method, PROTOCOL) for task in published_tasks]
        scores = [cell.value for cell in cells if cell is not None]
        if scores and len(scores) == len(published_tasks):
            rows[label] = scores
    averages = [comparison.average(label, group.tasks) for label in rows]
    return Agreement(
        group.name,
        len(group.tasks),
        len(published_tasks),
        tuple(rows),
        np.array([*rows.values()], np.float64).reshape(len(rows), len(published_tasks)),
        np.array([math.nan if mean is None else mean for mean in averages]),
    )


def _texts(found: Agreement) -> tuple[Text, ...]:
    low, high = found.interval
    if not found.finished:
        tau = Text("not run")
    elif math.isnan(found.tau):
        tau = Text("too few")
    else:
        tau = Text(f"{found.tau:.2f}")
    return (
        Text(f"{found.finished}/{len(found.labels)}"),
        Text(f"{found.tasks}"),
        tau,
        Text(MISSING if math.isnan(low) else f"[{low:.2f}, {high:.2f}]"),
        Text(f"{found.published_tasks}"),
        Text(MISSING if math.isnan(found.left_out) else f"{found.left_out:.2f}"),
    )
