"""What the trials of a suite take: seconds, memory and disk, and how long they take together."""

from __future__ import annotations

import heapq
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.bench.trial import TrialTimes
from harness.costs.outline import PROCESS_MB, Outline, Outlines, steps_by_stage
from harness.costs.rates import Find
from harness.execution.pretraining import pretraining_key
from harness.rollouts.evaluation import MOST_AT_ONCE
from harness.runs.spec import RunSpec
from harness.runs.trial import Trial

_TABLE_BYTES = 90  # of an episode's or a metric's line in a run's tables
_METRICS = 10  # lines an evaluation, beside its episodes
_OTHER_MB = 0.02  # spec, status and provenance


@dataclass(frozen=True)
class TrialCost:
    """What a trial takes that begins at `start`.

    Attributes:
        steps: gradient steps, of all seeds together.
        train_seconds: start-up included; None: its rate is not known.
        evaluation_seconds: that it does not train beside, at most: as if no episode ended before
            its horizon. None: not known.
        work: a guess in a unit of its own, for trials whose rates are not known.
        memory_mb: its peak; a guess where its rate is not known.
        disk_mb: of all its runs.
    """

    trial: Trial
    steps: int
    train_seconds: float | None
    evaluation_seconds: float | None
    work: float
    memory_mb: float
    disk_mb: float

    @property
    def seconds(self) -> float | None:
        if self.train_seconds is None or self.evaluation_seconds is None:
            return None
        return self.train_seconds + self.evaluation_seconds


def forecast(trials: Iterable[Trial], find: Find, stack: int) -> list[TrialCost]:
    """What every trial takes, in their order, in which the first of those that share pretraining
    does it.

    Args:
        trials: of runs that are left to do.
        find: known rates.
        stack: seeds of the suite's largest trials; what one takes a step is taken for the smaller
            ones too, which take no longer.
    """
    outlines, pretraining = Outlines(), _Pretraining()
    found: dict[str, TrialTimes | None] = {}  # by cell
    costs = []
    for trial in trials:
        spec, seeds = trial.specs[0], len(trial.specs)
        if spec.cell not in found:
            found[spec.cell] = find(spec, stack)
        outline, times = outlines.of(spec), found[spec.cell]
        start = _start(trial)
        if outline.pretraining_stages and pretraining.is_shared(trial):
            start = max(start, outline.ends[outline.pretraining_stages - 1])
        left = steps_by_stage(outline, start)
        online = min(spec.online_steps, spec.total_steps - start)
        cost = TrialCost(
            trial=trial,
            steps=seeds * (sum(left) + online),
            train_seconds=None,
            evaluation_seconds=None,
            work=outline.work(sum(left) + online, seeds),
            memory_mb=outline.memory_mb(seeds, compiled=spec.compiled) + _evaluators_mb(trial),
            disk_mb=seeds * _disk_mb(spec, outline.state_mb),
        )
        costs.append(cost if times is None else _measured(cost, times, outline, left, online))
    return costs


def _measured(
    cost: TrialCost, times: TrialTimes, outline: Outline, left: Sequence[int], online: int
) -> TrialCost:
    """The cost of a trial whose rates are known."""
    spec, seeds = cost.trial.specs[0], len(cost.trial.specs)
    rates = times.steps_per_second
    if len(rates) == 1:
        rates = rates * len(left)
    offline = sum(steps / rate for steps, rate in zip(left, rates, strict=True))
    interacting = online * (1 / rates[-1] + times.interaction_seconds)
    own, *others = times.evaluation_seconds.values()
    begun = outline.ends[outline.pretraining_stages - 1] if outline.pretraining_stages else 0
    done = spec.total_steps - sum(left) - online
    evaluated = [step for step in spec.evaluation_steps() if step > done and step >= begun]
    steps: float = math.ceil(spec.evaluation.episodes / MOST_AT_ONCE) * spec.task.horizon
    evaluators = cost.trial.evaluators
    if evaluators:  # each has its part of the seeds
        steps *= math.ceil(seeds / evaluators) / seeds
    evaluation = steps * (len(evaluated) * own + sum(others))
    if evaluators and evaluated:
        beside = sum(step < spec.steps for step in evaluated)
        evaluation -= beside * min(steps * own, offline / len(evaluated))
    beyond = max(0, outline.rows - times.rows) * times.row_bytes / 1e6
    return replace(
        cost,
        train_seconds=times.start_seconds + offline + interacting,
        evaluation_seconds=evaluation,
        memory_mb=times.memory_mb + beyond + _evaluators_mb(cost.trial)
        if times.memory_mb
        else cost.memory_mb,
        disk_mb=seeds * _disk_mb(spec, times.state_mb or outline.state_mb),
    )


class _Pretraining:
    """Which trials begin with what an earlier one has pretrained."""

    def __init__(self) -> None:
        self._keys: dict[str, str | None] = {}  # by cell
        self._made: set[tuple[str | None, tuple[int, ...]]] = set()

    def is_shared(self, trial: Trial) -> bool:
        first = trial.specs[0]
        if first.cell not in self._keys:
            self._keys[first.cell] = pretraining_key(first)
        made = (self._keys[first.cell], tuple(spec.seed for spec in trial.specs))
        if made in self._made:
            return True
        self._made.add(made)
        return False


def _start(trial: Trial) -> int:
    """The step that the trial's runs go on from; where they differ, the least."""
    statuses = [trial.folder(spec).status() for spec in trial.specs]
    return min(0 if status is None else status.step for status in statuses)


def _evaluators_mb(trial: Trial) -> float:
    """Of the processes that evaluate beside its training, but for what would be in it else."""
    return trial.evaluators * PROCESS_MB[False]


def _disk_mb(spec: RunSpec, state_mb: float) -> float:
    """Of a run: two checkpoints, and the tables of its evaluations."""
    lines = len(spec.evaluation_steps()) * (spec.evaluation.episodes + _METRICS)
    return 2 * state_mb + lines * _TABLE_BYTES / 1e6 + _OTHER_MB


def longest_first(costs: Sequence[TrialCost]) -> list[Trial]:
    """The trials, by falling seconds; of those without a rate by what their work suggests."""
    known = [cost.seconds / cost.work for cost in costs if cost.seconds is not None and cost.work]
    usual = statistics.median(known) if known else 1.0

    def length(cost: TrialCost) -> float:
        return cost.work * usual if cost.seconds is None else cost.seconds

    return [cost.trial for cost in sorted(costs, key=length, reverse=True)]


def makespan(seconds: Iterable[float], at_once: int) -> float:
    """How long trials take, longest first, so many at once."""
    ends = [0.0] * at_once
    for each in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + each)
    return max(ends)


def needed_at_once(seconds: Sequence[float], deadline: float) -> int | None:
    """How many trials have to run at once to be done in time; None if one alone takes longer."""
    if not seconds:
        return 1
    if max(seconds) > deadline:
        return None
    count = max(1, math.ceil(sum(seconds) / deadline))
    while makespan(seconds, count) > deadline:
        count += 1
    return count
