"""A suite before it is run: what is left of it, and what that takes by the rates that are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.costs.forecast import TrialCost, forecast, longest_first
from harness.costs.outline import evaluation_count
from harness.costs.rates import Find, measure, measured, shape_key
from harness.errors import UserError
from harness.execution.executor import MemoryOf
from harness.execution.machine import gpu_slots
from harness.execution.memory import available_mb
from harness.execution.plan import Plan
from harness.execution.pretraining import pretrainers_first
from harness.runs.provenance import core_count
from harness.runs.spec import RunSpec
from harness.runs.trial import Trial, group
from harness.statistics.protocols import parse_protocol
from harness.suite.schema import Suite


def trials_left(plan: Plan) -> list[Trial]:
    """The trials of what is left of a plan, in an order in which shared pretraining comes first.

    Those whose setting is still to be chosen are among them, as if it were their row's own.
    """
    return pretrainers_first(
        trial
        for specs in (plan.left, plan.undecided)
        for trial in group(
            specs,
            plan.suite.resources.seeds_per_trial,
            suite_dir=plan.directory,
            invocation="",
            command="",
            executor="",
            cpus=plan.suite.resources.cpus_per_trial,
        )
    )


def refuse_few_evaluations(plan: Plan) -> None:
    """Raises UserError if what is left of a plan has runs without the evaluations of a score."""
    protocol = plan.suite.evaluation.protocol
    needed = parse_protocol(protocol).evaluations
    cells = {spec.cell: spec for spec in [*plan.left, *plan.undecided]}
    counts: dict[str, int] = {}
    for spec in cells.values():
        counts[spec.label] = min(_evaluations(spec, needed), counts.get(spec.label, needed))
    if few := [f"{label} ({count})" for label, count in counts.items() if count < needed]:
        raise UserError(
            f"evaluation.protocol '{protocol}' needs {needed} evaluations a run, and there would "
            f"be fewer of {', '.join(few)}: pretraining that rows may share is not evaluated. "
            "Evaluate more often, or pretrain for a smaller share of the budget."
        )


def _evaluations(spec: RunSpec, needed: int) -> int:
    """How many a run will have; as many as needed, if anyone's code stops before it can say."""
    try:
        return evaluation_count(spec)
    except Exception:  # the run will say what is wrong
        return needed


def stack_of(suite: Suite) -> int:
    """Seeds of the suite's largest trials."""
    tuning = suite.tuning.seeds if suite.tuning else []
    return min(suite.resources.seeds_per_trial, max(len(suite.seed_list), len(tuning)))


def costs_of(plan: Plan, trials: list[Trial], find: Find) -> list[TrialCost]:
    """What the trials of a plan take."""
    return forecast(trials, find, stack_of(plan.suite))


def in_order(plan: Plan, trials: Iterable[Trial]) -> tuple[list[Trial], MemoryOf]:
    """The trials, longest first but for shared pretraining; and what each is expected to take.

    The order changes no number.
    """
    costs = costs_of(plan, pretrainers_first(trials), measured)
    memory = {cost.trial.name: cost.memory_mb for cost in costs}
    return pretrainers_first(longest_first(costs)), lambda trial: memory[trial.name]


def measure_unknown(plan: Plan, say: Callable[[str], None]) -> dict[str, str]:
    """Measure what is not known of the plan's trials; why some could not be, by cell's name."""
    stack, failed = stack_of(plan.suite), {}
    wanted: dict[str, RunSpec] = {}
    for spec in {spec.cell: spec for spec in [*plan.left, *plan.undecided]}.values():
        if measured(spec, stack) is None:
            wanted.setdefault(shape_key(spec, stack), spec)
    for number, spec in enumerate(wanted.values(), 1):
        name = f"{spec.task.id} {spec.label}"
        say(f"measuring {number} of {len(wanted)}: {name}, {stack} seeds …")
        try:
            measure(spec, stack)
        except UserError as error:
            failed[name] = str(error)
    return failed


@dataclass(frozen=True)
class Machine:
    """How many trials of a suite this machine runs at once, and why not more."""

    at_once: int
    limit: str

    @classmethod
    def for_trials(cls, suite: Suite, costs: list[TrialCost]) -> Machine:
        """By cores, GPUs and memory: as many of the largest trials as fit."""
        resources = suite.resources
        limits = {"as many as there are cores for": core_count() // resources.cpus_per_trial}
        if resources.gpus_per_trial:
            slots = len(gpu_slots(resources.gpus_per_trial))
            limits["as many as there are GPUs for" if slots else "if it had a GPU"] = slots
        room, largest = available_mb(), max((cost.memory_mb for cost in costs), default=0.0)
        if room is not None and largest:
            limits[f"as many as fit into {room / 1000:.1f} GB of free memory"] = int(room / largest)
        limit = min(limits, key=lambda name: limits[name])
        return cls(max(1, limits[limit]), limit)
