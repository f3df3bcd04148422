"""What `harness plan` says: what a suite takes, and whether that fits a deadline."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.commands.console import say
from harness.costs.forecast import TrialCost, makespan, needed_at_once
from harness.costs.prospect import (
    Machine,
    costs_of,
    measure_unknown,
    refuse_few_evaluations,
    trials_left,
)
from harness.costs.rates import RatesTable, measured
from harness.errors import UserError
from harness.execution.draft import RunOptions, draft
from harness.execution.plan import Plan
from harness.execution.prepare import planned_without_data
from harness.suite.schema import find_suite

_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds_of(duration: str) -> float:
    """`30m`, `8h`, `1.5d` in seconds. Raises UserError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([mhd])", duration.strip())
    if found is None or not float(found[1]):
        raise UserError(f"--by {duration} is no duration: give it as 30m, 8h or 2d.")
    return float(found[1]) * _UNITS[found[2]]


@dataclass(frozen=True)
class RowTotals:
    """What is left of a row of the comparison, over all of its tasks.

    Attributes:
        hours: of all its trials, one after the other; None if a rate is not known.
        memory_mb: of its largest trial.
    """

    label: str
    runs: int
    steps: int
    train_hours: float | None
    evaluation_hours: float | None
    memory_mb: float
    disk_mb: float
    unknown: list[str]  # tasks on which its rate is not known

    @property
    def hours(self) -> float | None:
        if self.train_hours is None or self.evaluation_hours is None:
            return None
        return self.train_hours + self.evaluation_hours


def show_plan(
    suite: str,
    options: RunOptions,
    *,
    results: Path,
    by: str | None,
    rates: Path | None,
    measuring: bool,
    price: float | None,
    as_json: bool,
    console: Console,
) -> None:
    """Carry out `harness plan` with its arguments. Writes nothing but rates, if `measuring`.

    Raises UserError for anything wrong with the suite, the rates or the deadline.
    """
    deadline = None if by is None else seconds_of(by)
    find = measured if rates is None else RatesTable.read(rates).find
    drafted = draft(find_suite(suite), results, options)
    plan = planned_without_data(drafted)
    refuse_few_evaluations(plan)
    telling = Console(stderr=True) if as_json else console
    failed = measure_unknown(plan, lambda line: say(telling, line)) if measuring else {}
    costs = costs_of(plan, trials_left(plan), find)
    lines = _lines(plan, costs)
    together = _Together.of(plan, costs, deadline, price)
    if as_json:
        print(json.dumps(_content(plan, lines, together, failed), indent=2))
        return
    say(console, _heading(plan, costs))
    if lines:
        console.print(_table(lines))
    for sentence in together.sentences(by):
        say(console, sentence)
    for name, reason in failed.items():
        say(console, f"could not be measured: {name}: {reason}")
    unknown = [f"{line.label} ({_tasks(line.unknown)})" for line in lines if line.unknown]
    if unknown:
        rows = "any row" if together.cpu_hours is None else ", ".join(unknown)
        how = "add lines to the table" if rates else f"harness plan {suite} --measure"
        say(console, f"No rate is known, and none is counted, of {rows}. To measure: {how}")


def _lines(plan: Plan, costs: Sequence[TrialCost]) -> list[RowTotals]:
    """What is left of every row, in the plan's order."""
    by_label: dict[str, list[TrialCost]] = {}
    for cost in costs:
        by_label.setdefault(cost.trial.specs[0].label, []).append(cost)
    order = dict.fromkeys(spec.label for spec in [*plan.left, *plan.undecided])
    return [_totals(label, by_label[label]) for label in order]


def _tasks(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{len(ids)} tasks"


def _heading(plan: Plan, costs: Sequence[TrialCost]) -> str:
    left, tuning = len(plan.left) + len(plan.undecided), sum(map(plan.tunes, plan.left))
    said = (
        f"{plan.suite.title}: {plan.asked_for:,} runs, {plan.asked_for - left:,} done, {left:,} to "
        f"do in {len(costs):,} trials."
    )
    if tuning:
        said += f" Of these runs {tuning:,} choose settings"
        said += (
            f"; {len(plan.undecided):,} final ones have none yet: they count as their row's own."
        )
    return said


def _totals(label: str, mine: Sequence[TrialCost]) -> RowTotals:
    unknown = [cost.trial.specs[0].task.id for cost in mine if cost.seconds is None]
    return RowTotals(
        label=label,
        runs=sum(len(cost.trial.specs) for cost in mine),
        steps=sum(cost.steps for cost in mine),
        train_hours=_hours([cost.train_seconds for cost in mine]),
        evaluation_hours=_hours([cost.evaluation_seconds for cost in mine]),
        memory_mb=max(cost.memory_mb for cost in mine),
        disk_mb=sum(cost.disk_mb for cost in mine),
        unknown=list(dict.fromkeys(unknown)),
    )


def _hours(seconds: Sequence[float | None]) -> float | None:
    """Their sum; None if any of them is not known."""
    known = [each for each in seconds if each is not None]
    return sum(known) / 3600 if len(known) == len(seconds) else None


@dataclass(frozen=True)
class _Together:
    """What all trials with known rates take, on this machine and by a deadline.

    Hours and the cost are None if trials are left and no rate is known.

    Attributes:
        unknown: trials whose rates are not known.
        hours: by the clock, on this machine, longest first.
        at_once: trials that this machine runs at once.
        needed_at_once: trials that have to run at once to meet the deadline; 0 without a deadline,
            None if one trial alone takes longer.
    """

    unknown: int
    cpu_hours: float | None
    gpu_hours: float | None
    hours: float | None
    longest_hours: float
    longest: str
    memory_gb: float
    disk_gb: float
    at_once: int
    limit: str
    deadline_hours: float | None
    needed_at_once: int | None
    cost: float | None

    @classmethod
    def of(
        cls, plan: Plan, costs: list[TrialCost], deadline: float | None, price: float | None
    ) -> _Together:
        known = [(cost.seconds, cost) for cost in costs if cost.seconds is not None]
        seconds, resources = [each for each, _ in known], plan.suite.resources
        machine = Machine.for_trials(plan.suite, costs)
        longest = max(known, key=lambda pair: pair[0])[1] if known else None
        total = sum(seconds) / 3600 if known or not costs else None
        hours = None if total is None else makespan(seconds, machine.at_once) / 3600
        needed = 0 if deadline is None else needed_at_once(seconds, deadline)
        return cls(
            unknown=len(costs) - len(known),
            cpu_hours=None if total is None else total * resources.cpus_per_trial,
            gpu_hours=None if total is None else total * resources.gpus_per_trial,
            hours=hours,
            longest_hours=max(seconds, default=0.0) / 3600,
            longest=longest.trial.name if longest else "",
            memory_gb=_memory_at_once(costs, machine.at_once),
            disk_gb=sum(cost.disk_mb for cost in costs) / 1000,
            at_once=machine.at_once,
            limit=machine.limit,
            deadline_hours=None if deadline is None else deadline / 3600,
            needed_at_once=needed,
            cost=None if price is None or hours is None else price * hours,
        )

    def sentences(self, by: str | None) -> Iterator[str]:
        if self.cpu_hours is None or self.hours is None:
            fits = "" if by is None else f", nor whether it fits {by}"
            yield f"What it takes is not known, as no rate is{fits}."
            yield (
                f"Here: trials at once: {self.at_once}, {self.limit}; memory: about "
                f"{self.memory_gb:,.1f} GB, a guess."
            )
            return
        gpu = f", {self.gpu_hours:,.1f} GPU-hours" if self.gpu_hours else ""
        what = "What is known, together" if self.unknown else "All together"
        yield (
            f"{what}: {self.cpu_hours:,.1f} CPU-hours{gpu}, {self.disk_gb:,.1f} GB of disk. "
            "Evaluation counts as if no episode ended before its horizon: it is the most."
        )
        yield (
            f"Here: {self.hours:,.1f} hours; trials at once: {self.at_once}, {self.limit}; memory: "
            f"up to {self.memory_gb:,.1f} GB."
        )
        if self.cost is not None:
            yield f"Cost: {self.cost:,.2f}, for as long as this machine is needed."
        if by is None:
            return
        if self.unknown:
            yield f"Of {self.unknown} trials no rate is known: what follows leaves them out."
        if self.needed_at_once is None:
            yield (
                f"It does not fit {by}, however many trials run at once: {self.longest} alone "
                f"takes {self.longest_hours:,.1f} hours. Lower resources.seeds_per_trial, or the "
                "budget."
            )
        elif self.needed_at_once <= self.at_once:
            yield f"It fits {by}. Trials at once that are enough: {self.needed_at_once}."
        else:
            machines = -(-self.needed_at_once // self.at_once)
            yield (
                f"It does not fit {by} here. Trials at once that it takes: {self.needed_at_once}, "
                f"as on {machines} machines like this one."
            )


def _memory_at_once(costs: Sequence[TrialCost], at_once: int) -> float:
    """GB that the largest trials take together, when so many run at once."""
    return sum(sorted((cost.memory_mb for cost in costs), reverse=True)[:at_once]) / 1000


def _table(lines: Sequence[RowTotals]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("algorithm", overflow="fold")
    for column in ("runs", "steps", "training h", "evaluation h", "memory GB", "disk GB"):
        table.add_column(column, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(
            line.label,
            f"{line.runs:,}",
            f"{line.steps:,}",
            _number(line.train_hours),
            _number(line.evaluation_hours),
            f"{'~' if line.unknown else ''}{line.memory_mb / 1000:.1f}",
            f"{'~' if line.unknown else ''}{line.disk_mb / 1000:.2f}",
        )
    return table


def _number(hours: float | None) -> str:
    return "?" if hours is None else f"{hours:,.2f}"


def _content(
    plan: Plan, lines: Sequence[RowTotals], together: _Together, failed: dict[str, str]
) -> dict[str, Any]:
    return {
        "suite": plan.suite.name,
        "runs": plan.asked_for,
        "left": len(plan.left) + len(plan.undecided),
        "undecided": len(plan.undecided),
        "rows": [asdict(line) for line in lines],
        "together": asdict(together),
        "failed": failed,
    }
