"""The sentences under every table: protocol, budget, statistics, data and environments."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from harness.report.action_selections import selection_note
from harness.report.comparison import Comparison
from harness.report.origins import checkout_notes, machine_notes, origin_notes
from harness.runs.suite_file import SuiteFile
from harness.statistics.paired import FEWEST_PAIRS
from harness.tasks import words
from harness.tasks.spec import TaskSpec

SMOKE = "SMOKE RUN: numbers mean nothing"


@dataclass(frozen=True)
class Notes:
    """What the numbers are: how they were measured, how they are printed, and on which tasks.

    `failures` says which runs are damaged and do not count, and which parts of the report are not
    there; `mistakes`, what its user has to mend in the suite.
    """

    smoke: bool
    failures: tuple[str, ...]
    mistakes: tuple[str, ...]
    protocol: str
    action_selection: str  # empty if not recorded
    gate: tuple[str, ...]
    origins: tuple[str, ...]
    data: tuple[str, ...]
    statistics: tuple[str, ...]
    sections: tuple[str, ...]
    tasks: tuple[str, ...]

    @property
    def general(self) -> tuple[str, ...]:
        """The notes that belong under every table."""
        selection = (self.action_selection,) if self.action_selection else ()
        judged = (*self.gate, *self.origins, *self.data)
        said = (self.protocol, *selection, *judged, *self.statistics, *self.sections)
        return (*self.failures, *self.mistakes, *said)


def write_notes(
    comparison: Comparison,
    of_sections: Iterable[str] = (),
    failures: Iterable[str] = (),
    mistakes: Iterable[str] = (),
) -> Notes:
    """The notes of a comparison and of the report's sections, in plain text; each once."""
    suite = comparison.suite
    if not suite.runs:
        return _of_nothing_run(comparison, of_sections, failures)
    statistics = (
        _cells(comparison),
        _bold(suite),
        _intervals(comparison),
        _differences(comparison),
    )
    gate = comparison.gate.notes() if any(row.learns_critic for row in suite.rows) else ()
    return Notes(
        smoke=suite.smoke,
        failures=tuple(failures),
        mistakes=tuple(mistakes),
        protocol=_protocol(comparison),
        action_selection=selection_note(suite),
        gate=gate,
        origins=(
            *origin_notes(suite),
            *checkout_notes(suite.runs, comparison.checkouts, one_code=comparison.one_code),
            *machine_notes(suite.runs, comparison.machines),
        ),
        data=_data(suite),
        statistics=(*statistics, *comparison.scales.notes()),
        sections=tuple(dict.fromkeys(of_sections)),
        tasks=(*(_task(task) for task in suite.tasks), *_semantics(suite)),
    )


def _of_nothing_run(
    comparison: Comparison, of_sections: Iterable[str], failures: Iterable[str]
) -> Notes:
    """Only what holds before the first run whose scores count."""
    suite = comparison.suite
    none = "Nothing of this suite has been run. To run it"
    if suite.tuning is not None:
        none = "No final run is planned before its setting is chosen. To go on"
    return Notes(
        smoke=suite.smoke,
        failures=tuple(failures),
        mistakes=(),
        protocol=f"{none}: {suite.command}",
        action_selection="",
        gate=(),
        origins=tuple(origin_notes(suite)),
        data=_data(suite),
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


def _data(suite: SuiteFile) -> tuple[str, ...]:
    """Which tasks rank nothing, and whose data somebody must bring."""
    unranked = [task.id for task in suite.tasks if not task.ranks]
    needs: dict[str, list[str]] = {}
    for task in suite.tasks:
        if what := words.needs(task):
            needs.setdefault(what, []).append(task.id)
    brought = "; ".join(f"{what}: {', '.join(ids)}" for what, ids in needs.items())
    return (
        *([f"Not ranked: {', '.join(unranked)}. The data are {words.DENOISING}."] * bool(unranked)),
        *(
            [f"Needed to make data, and not in this repository (docs/data.md): {brought}."]
            * bool(needs)
        ),
    )


def _protocol(comparison: Comparison) -> str:
    suite, protocol = comparison.suite, comparison.protocol
    plan = suite.evaluation
    online = f", then {suite.online_steps:,} online" if suite.online_steps else ""
    own = [f"{row.label} {row.steps:,}" for row in suite.rows if row.steps]
    seeds = f"{len(suite.seeds)} seed{'s' if len(suite.seeds) > 1 else ''}"
    others = f" (but {', '.join(own)})" if own else ""
    warning = "ONLINE SELECTION. " if protocol.selects_online else ""
    begun = f", from step {plan.first:,} on" if plan.first else ""
    asked = "" if protocol.name == plan.protocol else f", the suite's being '{plan.protocol}'"
    further = ""
    if protocol.name != "last" and plan.action_selections:
        further = (
            " Further action selections are evaluated once, at the end, and have no score by this "
            "protocol; the critic gate compares them by 'last'."
        )
    return (
        f"{warning}Protocol '{protocol.name}'{asked}: a run's score is {protocol.meaning}. "
        f"{suite.steps:,} gradient steps a run{others}{online}; {plan.episodes} evaluation "
        f"episodes every {plan.every:,} steps{begun}; {seeds} "
        f"({', '.join(map(str, suite.seeds))}).{further}"
    )


def _cells(comparison: Comparison) -> str:
    everywhere = all(comparison.applies(label, comparison.tasks) for label in comparison.labels)
    dash = "" if everywhere else " '–' also: the suite does not run the method on that task."
    if len(comparison.suite.seeds) == 1:
        return f"Cells: the score of the only seed, so no spread is given.{dash}"
    return (
        "Cells: mean ± standard deviation over seeds (ddof = 1; scaled with the scores, never "
        "shifted). '(2/3 seeds)': only these finished and count. 'failed': no seed finished and "
        "one failed. '–': nothing finished yet; an average needs every task. '°': the noise of "
        "the evaluations' episodes alone explains half or more of the variance over seeds, and "
        f"more episodes would narrow it.{dash}"
    )


def _bold(suite: SuiteFile) -> str:
    if len(suite.seeds) < FEWEST_PAIRS:
        return (
            f"No score is bold: with fewer than {FEWEST_PAIRS} seeds a test finds next to nothing, "
            "and which method is best, or level with the best, cannot be said."
        )
    return (
        "Bold: the best mean, and every method that a paired t-test by seed, at 5% after Holm's "
        "correction over the methods, does not tell apart from it. A method with fewer than "
        f"{FEWEST_PAIRS} seeds in common with the best is not bold, and nothing is where the best "
        "has fewer."
    )


def _intervals(comparison: Comparison) -> str:
    several = len(comparison.tasks) > 1
    averages = "; of averages: Welch-Satterthwaite's t, tasks held fixed" if several else ""
    return f"95% intervals of a task's score: Student's t over seeds{averages}."


def _differences(comparison: Comparison) -> str:
    if len(comparison.labels) == 1:
        return "Differences: there is one method."
    if comparison.reference is None:
        return (
            "Differences to a reference: none, as the suite names no reference. Write `compare_to: "
            f"{comparison.ranked(comparison.tasks)[0]}` (or another label) into the suite file and "
            "give that file to `harness report`."
        )
    return (
        f"Differences to {comparison.reference}: of the runs with the same seed, mean ± half of "
        "the 95% interval of the paired t-test (averages: Welch-Satterthwaite's t), and its p "
        "after Holm's correction over all of these differences. Bold: p < 5%, from "
        f"{FEWEST_PAIRS} pairs on."
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
