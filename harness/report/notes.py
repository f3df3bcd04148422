"""The sentences under every table: protocol, budget, statistics, data and environments."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from harness.report.action_selections import selection_note
from harness.report.comparison import PROTOCOLS, Comparison
from harness.report.earlier_code import earlier_note
from harness.runs.suite_file import SuiteFile
from harness.tasks import words
from harness.tasks.spec import TaskSpec

SMOKE = "SMOKE RUN: numbers mean nothing"


@dataclass(frozen=True)
class Notes:
    """What the numbers are: how they were measured, how they are printed, and on which tasks.

    `failures` says which runs are damaged and do not count, and which parts of the report are not
    there.
    """

    smoke: bool
    failures: tuple[str, ...]
    protocol: str
    action_selection: str  # empty if not recorded
    gate: tuple[str, ...]
    earlier_code: tuple[str, ...]
    statistics: tuple[str, ...]
    sections: tuple[str, ...]
    tasks: tuple[str, ...]

    @property
    def general(self) -> tuple[str, ...]:
        """The notes that belong under every table."""
        selection = (self.action_selection,) if self.action_selection else ()
        judged = (*self.gate, *self.earlier_code)
        said = (self.protocol, *selection, *judged, *self.statistics, *self.sections)
        return (*self.failures, *said)


def write_notes(
    comparison: Comparison, of_sections: Iterable[str] = (), failures: Iterable[str] = ()
) -> Notes:
    """The notes of a comparison and of the report's sections, in plain text; each once."""
    suite = comparison.suite
    if not suite.runs:
        return _of_nothing_run(comparison, of_sections, failures)
    statistics = (_cells(comparison), _bold(suite), _intervals(comparison))
    gate = comparison.gate.notes() if any(row.learns_critic for row in suite.rows) else ()
    return Notes(
        smoke=suite.smoke,
        failures=tuple(failures),
        protocol=_protocol(suite),
        action_selection=selection_note(suite),
        gate=gate,
        earlier_code=earlier_note(suite),
        statistics=(*statistics, *comparison.scales.notes()),
        sections=tuple(dict.fromkeys(of_sections)),
        tasks=(*(_task(task) for task in suite.tasks), *_semantics(suite)),
    )


def _of_nothing_run(
    comparison: Comparison, of_sections: Iterable[str], failures: Iterable[str]
) -> Notes:
    """Only what holds before the first run."""
    suite = comparison.suite
    return Notes(
        smoke=suite.smoke,
        failures=tuple(failures),
        protocol=f"Nothing of this suite has been run. To run it: {suite.command}",
        action_selection="",
        gate=(),
        earlier_code=(),
        statistics=comparison.scales.notes(),
        sections=tuple(dict.fromkeys(of_sections)),
        tasks=(*(_task(task) for task in suite.tasks), *_semantics(suite)),
    )


def _task(task: TaskSpec) -> str:
    data, environment, reference = task.dataset, task.environment, task.reference
    origin = words.ORIGINS[data.source]
    wrappers = f", wrapped by {', '.join(environment.wrappers)}" if environment.wrappers else ""
    return (
        f"{task.id}: data {data.id}, {origin} {data.recipe} "
        f"({_arguments(data.params)}), rewards {words.rewards(task)}. Environment {environment.id} "
        f"({_arguments(environment.kwargs)}){wrappers}; horizon {task.horizon:,} steps. "
        f"Normalized score = 100 (return - {reference.min:g}) / ({reference.max:g} - "
        f"{reference.min:g}); reference scores: {_sentence(words.source(task))}"
    )


def _semantics(suite: SuiteFile) -> list[str]:
    """What scores mean in these environments; said once for all tasks that share it."""
    tasks: dict[str, list[str]] = {}
    for task in suite.tasks:
        tasks.setdefault(words.semantics(task), []).append(task.id)
    return [f"Semantics of {', '.join(ids)}: {_sentence(text)}" for text, ids in tasks.items()]


def _protocol(suite: SuiteFile) -> str:
    plan = suite.evaluation
    online = f", then {suite.online_steps:,} online" if suite.online_steps else ""
    own = [f"{row.label} {row.steps:,}" for row in suite.rows if row.steps]
    seeds = f"{len(suite.seeds)} seed{'s' if len(suite.seeds) > 1 else ''}"
    others = f" (but {', '.join(own)})" if own else ""
    return (
        f"Protocol '{plan.protocol}': a run's score is {PROTOCOLS[plan.protocol]}. "
        f"{suite.steps:,} gradient steps a run{others}{online}; {plan.episodes} evaluation "
        f"episodes every {plan.every:,} steps; {seeds} ({', '.join(map(str, suite.seeds))})."
    )


def _cells(comparison: Comparison) -> str:
    everywhere = all(comparison.applies(label, comparison.tasks) for label in comparison.labels)
    dash = "" if everywhere else " '–' also: the suite does not run the method on that task."
    if len(comparison.suite.seeds) == 1:
        return f"Cells: the score of the only seed, so no spread is given.{dash}"
    return (
        "Cells: mean ± standard deviation over seeds (population, ddof = 0; scaled with the "
        "scores, never shifted). '(2/3 seeds)': only these finished and count. 'failed': no seed "
        "finished and one failed. '–': nothing finished yet; an average needs every task." + dash
    )


def _bold(suite: SuiteFile) -> str:
    if len(suite.seeds) == 1:
        return "Bold: the best mean; with one seed nothing else can be called tied or separated."
    return (
        "Bold: the best mean, and every method that a two-sided Welch t-test over seeds at 5% "
        "(not corrected for multiple comparisons) does not separate from it; a method with a "
        "single finished seed is bold only if it is the best."
    )


def _intervals(comparison: Comparison) -> str:
    single = "95% intervals of a task's score: Student's t over seeds"
    better = "P(x better): the chance that a run of x beats a run of the row, ties half"
    if len(comparison.tasks) == 1:
        return f"{single}. {better}."
    return (
        f"{single}; of averages: Welch-Satterthwaite's t, tasks held fixed (a bootstrap of so few "
        "seeds is too narrow). Of the IQM (mean of the middle half of all runs): bootstrap of "
        "20,000 resamples of the seeds within each task, deviations stretched by sqrt(n/(n-1)). "
        f"{better}, averaged over tasks."
    )


def _arguments(values: Mapping[str, JsonValue]) -> str:
    """`name=value, ...`; nested values, such as maze maps, are left to the run's spec.json."""
    short = {
        name: "[…]" if isinstance(value, list | dict) else json.dumps(value)
        for name, value in values.items()
    }
    return ", ".join(f"{name}={value}" for name, value in short.items()) or "default arguments"


def _sentence(text: str) -> str:
    return text.rstrip(". ") + "."
