"""Whether the critic was good enough on a task for methods that trust it to be ranked there.

IFQL shows it: its samples are those of a cloned policy, and best-of-4 changes nothing but which of
them the critic picks. If picking does not help, the critic is no guide to any other method either.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from harness.runs.critic_probe import CLONING, PICKING, PROBE
from harness.runs.suite_file import RowInfo, SuiteFile
from harness.statistics.intervals import Scores, t_interval

LEVEL = "critic/value_level"  # metric: mean V on the data over the data's mean return
CEILING = "critic/value_ceiling"  # metric: the data's 99th percentile of returns over that mean
LOWEST = 0.5  # of the level
HIGHEST = 2.0  # where the ceiling was not logged
MARK = "†"
UNUSABLE = "critic not usable at this budget"
RULE = (
    f"Critic gate, measured by {PROBE} on each task: '{UNUSABLE}' if best-of-4 under its critic "
    "scores below its cloning (noise-1) by more than one standard error of the paired differences "
    "over seeds (a low bar on purpose: a false alarm costs less than a ranking by a wrong critic), "
    "or if a critic's value level, mean V over the data's mean return, is not finite or below "
    f"{LOWEST:g}; or above the data's ceiling, their 99th percentile of returns over that mean, "
    "where following the critic does not clearly help: the 95% interval of that difference, or for "
    "other methods of their own score's to that cloning, too, is not above 0 (a policy may be "
    "better than almost all that was seen, as one that stays in a goal which the data drive "
    "through). "
    f"{MARK}: a method that trusts such a critic; the page's answer does not rank it there, while "
    "tables order and embolden its scores as others'"
)


@dataclass(frozen=True)
class CriticVerdict:
    """What the gate found on a task; `usable` is None where it was not measured."""

    usable: bool | None
    reason: str


@dataclass(frozen=True)
class Gate:
    """The verdicts by task id, and the cells (task, label) that trust an unusable critic."""

    verdicts: dict[str, CriticVerdict]
    marked: frozenset[tuple[str, str]]

    def mark(self, label: str, tasks: Iterable[str]) -> str:
        """The dagger, if the label trusts an unusable critic on one of the tasks; else nothing."""
        return MARK if any((task, label) in self.marked for task in tasks) else ""

    def notes(self) -> tuple[str, ...]:
        """The rule and its outcome on every task, or that there is none."""
        if not any(verdict.reason for verdict in self.verdicts.values()):
            return (f"Critic gate: not measured, as no run of {PROBE} learns a critic here.",)
        words = {True: "critic usable", False: UNUSABLE, None: "not measured"}
        tasks: dict[str, list[str]] = {}
        for task, verdict in self.verdicts.items():
            tasks.setdefault(f"{words[verdict.usable]} ({verdict.reason})", []).append(task)
        found = [f"{', '.join(ids)}: {what}" for what, ids in tasks.items()]
        return (f"{RULE}.", f"Critic gate on {'; on '.join(found)}.")


def critic_gate(suite: SuiteFile, scores: pd.DataFrame, metrics: pd.DataFrame) -> Gate:
    """Judge the critic on every task.

    Args:
        suite: what was planned; the first row of id `ifql` that learns a critic is the probe.
        scores: of finished runs: task, label, seed, action_selection, score.
        metrics: of finished runs: task, label, seed, step, name, value.
    """
    levels, ceilings = _latest(metrics, LEVEL), _latest(metrics, CEILING)

    def level_of(task: str, label: str) -> _Level:
        cell = (task, label)
        return _Level(levels.get(cell), ceilings.get(cell, HIGHEST))

    probes = [row for row in suite.rows if row.id == PROBE and row.learns_critic]
    verdicts, marked = {}, set()
    for task in suite.tasks:
        probe = next((row.label for row in probes if row.runs_on(task.id)), None)
        if probe is None:
            verdicts[task.id] = CriticVerdict(None, f"no {PROBE} here" if probes else "")
            continue
        here = scores[scores["task"] == task.id]
        cloned = _by_seed(here, probe, CLONING)
        picked = _Gain(_by_seed(here, probe, PICKING), cloned)
        verdict = verdicts[task.id] = _judge(picked, level_of(task.id, probe))
        for row in suite.rows:
            own = _Gain(_by_seed(here, row.label, row.action_selection), cloned)
            helps = picked.is_clear and own.is_clear
            off = level_of(task.id, row.label).is_unsound(helps=helps)
            suspect = verdict.usable is False or (verdict.usable is True and off)
            if suspect and trusts(row, row.action_selection) and row.runs_on(task.id):
                marked.add((task.id, row.label))
    return Gate(verdicts, frozenset(marked))


def trusts(row: RowInfo, selection: str) -> bool:
    """Whether the row, by that action selection, trusts a critic that it learned."""
    only_clones = row.id == PROBE and selection.startswith("noise")
    return row.learns_critic and not only_clones


@dataclass(frozen=True)
class _Gain:
    """What following a critic is worth: scores by seed, and those of the cloning beside them."""

    scores: pd.Series[float]
    cloned: pd.Series[float]

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """`own` and `cloned` of the seeds that have both."""
        both = {"own": self.scores, "cloned": self.cloned}
        return pd.concat(both, axis=1, join="inner").dropna()

    @property
    def differences(self) -> Scores:
        """In points, by seed."""
        return (self.pairs["own"] - self.pairs["cloned"]).to_numpy(np.float64)

    @property
    def error(self) -> float:
        """The standard error of the mean difference; 0 of a single one."""
        count = len(self.differences)
        return float(self.differences.std(ddof=1)) / math.sqrt(count) if count > 1 else 0.0

    @property
    def is_clear(self) -> bool:
        """Whether the 95% interval is above 0; there is none of a single seed."""
        return t_interval(self.differences).low > 0


@dataclass(frozen=True)
class _Level:
    """A critic's value level (None: not logged), and the highest that is sound by itself."""

    value: float | None
    ceiling: float

    def is_unsound(self, *, helps: bool) -> bool:
        """Whether it was logged, and is no number, too low, or high where the critic is no help."""
        if self.value is None or LOWEST <= self.value <= self.ceiling:
            return False
        return not (helps and self.ceiling < self.value < math.inf)

    def __str__(self) -> str:
        if self.value is None:
            return "value level not logged"
        if not math.isfinite(self.value):
            return "value level not finite"
        return f"value level {self.value:.2f}, ceiling {self.ceiling:.2f}"


def _latest(metrics: pd.DataFrame, name: str) -> dict[tuple[str, str], float]:
    """A metric's latest value by task and label, averaged over seeds; NaN unless all are finite."""
    logged = metrics[metrics["name"] == name].sort_values("step")
    by_run = logged.drop_duplicates(["task", "label", "seed"], keep="last")
    return {
        (str(task), str(label)): float(values.mean()) if np.isfinite(values).all() else math.nan
        for (task, label), values in by_run.groupby(["task", "label"])["value"]
    }


def _by_seed(scores: pd.DataFrame, label: str, selection: str) -> pd.Series[float]:
    """A row's scores by an action selection."""
    rows = scores[(scores["label"] == label) & (scores["action_selection"] == selection)]
    return rows.set_index("seed")["score"]


def _judge(picked: _Gain, level: _Level) -> CriticVerdict:
    """The verdict from what picking is worth to the probe, and its value level."""
    unsound, count = level.is_unsound(helps=picked.is_clear), len(picked.differences)
    if count == 0:
        both = f"evaluated by both {CLONING} and {PICKING}"
        one_is_missing = picked.scores.empty or picked.cloned.empty
        missing = f"{PROBE} was not {both}" if one_is_missing else f"no seed was {both}"
        return CriticVerdict(False if unsound else None, f"{missing}; {level}")
    mean, error = float(picked.differences.mean()), picked.error
    spread = f" ± {error:.1f}" if count > 1 else ""
    own, cloned = picked.pairs["own"].mean(), picked.pairs["cloned"].mean()
    return CriticVerdict(
        mean >= -error and not unsound,
        f"{PICKING} {own:.1f}, {CLONING} {cloned:.1f}, paired difference {mean:.1f}{spread} "
        f"over {count} seed{'s' if count > 1 else ''}; {level}",
    )
