"""What `harness run` does: plan, make data, skip what is done, execute, report."""

from __future__ import annotations

import shlex
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from harness.commands.console import say
from harness.commands.data_progress import data_progress
from harness.costs.prospect import in_order, refuse_few_evaluations
from harness.execution.draft import RunOptions
from harness.execution.execute import Stopped, execute, sole_use
from harness.execution.executors import lacking, make_executor, refuse_executor
from harness.execution.plan import Plan
from harness.execution.prepare import prepare
from harness.execution.pretraining import FOLDER as PRETRAINED
from harness.execution.progress import make_display
from harness.files import parse_object, refuse_link
from harness.runs.critic_probe import unmeasured_critics
from harness.runs.folder import delete_runs
from harness.runs.spec import RunSpec
from harness.runs.suite_file import FILE_NAME
from harness.runs.trackers import installed_trackers
from harness.runs.trial import LOCKS, group
from harness.suite.schema import find_suite

ALL_DONE, SOME_FAILED, STOPPED = 0, 1, 130  # exit codes
_MANY = 1000  # runs, of which a report takes so long that it is not made again for nothing


def run_suite(
    suite: str,
    options: RunOptions,
    *,
    executor: str,
    address: str | None,
    results: Path,
    command: str,
    console: Console,
    log: Sequence[str] = (),
) -> int:
    """Carry out `harness run` with its arguments; `command` is the command line, for the record.

    Returns the exit code. Raises UserError for anything wrong before the first run starts.
    """
    refuse_executor(executor, address)
    path = find_suite(suite)
    trackers = installed_trackers(log)
    with data_progress(console) as progress:
        plan = prepare(
            path,
            results,
            progress,
            options,
            lacking=partial(lacking, executor, address),
            check=refuse_few_evaluations,
        )
    trials = _Trials(command, executor, address, trackers, console)
    with sole_use(plan.directory, partial(say, console)):
        _refuse_links(plan)
        if options.fresh:
            _delete_selected(plan, console)
            plan = plan.again()
        command_of_all = whole_suite_command(suite, replace(options, keep=bool(plan.kept)))
        known = _is_written_down(plan, command_of_all)
        _write_down(plan, command_of_all)
        left = plan.unfinished()
        say(console, _announcement(plan, len(left)))
        hints = unmeasured_critics(plan.suite_file(command)) if left or plan.undecided else ()
        for sentence in (*earlier_code(plan, fresh=options.fresh), *hints):
            say(console, sentence)
        going = trials.carry_out(plan, [spec for spec in left if plan.tunes(spec)])
        if going and plan.tuning is not None:
            plan, left = _after_tuning(plan, command_of_all, console)
        finals = [spec for spec in left if not plan.tunes(spec)]
        if not going or not trials.carry_out(plan, finals):
            say(console, _farewell(plan, fresh=options.fresh))
            return STOPPED
        reported = _report(plan, suite, console, unchanged=known and not left)
    code = _conclude(plan, console)
    return code if reported else SOME_FAILED


def _after_tuning(plan: Plan, command_of_all: str, console: Console) -> tuple[Plan, list[RunSpec]]:
    """The plan with the settings that were chosen, written down, and what is left of it."""
    plan = plan.again()
    _refuse_links(plan)
    _write_down(plan, command_of_all)
    left = plan.unfinished()
    final = sum(not plan.tunes(spec) for spec in left)
    say(console, f"Tuning has ended. Final runs to do: {final}.")
    return plan, left


def _report(plan: Plan, suite: str, console: Console, *, unchanged: bool) -> bool:
    """Make the report, unless it is of many runs none of which has changed; False if it failed."""
    # Here, as pandas and Matplotlib take a second that no run has to wait for.
    from harness.commands.report import show_report
    from harness.report.build import PAGE

    page = plan.directory / PAGE
    if unchanged and len(plan.runs) >= _MANY and _is_younger(page, plan):
        say(console, f"Nothing has changed since the report: {page}")
        say(console, f"To make it anew: python -m harness report {shlex.quote(suite)}")
        return True
    return show_report(plan.directory, console)


@dataclass(frozen=True)
class _Trials:
    """Runs the trials of an invocation; `command` is its command line."""

    command: str
    executor: str
    address: str | None
    trackers: Sequence[str]
    console: Console

    def carry_out(self, plan: Plan, specs: Sequence[RunSpec]) -> bool:
        """Run some of the plan's runs to their end; False if the user stopped them."""
        trials = group(
            specs,
            plan.suite.resources.seeds_per_trial,
            suite_dir=plan.directory,
            invocation=uuid.uuid4().hex,
            command=self.command,
            executor=self.executor,
            trackers=self.trackers,
            cpus=plan.suite.resources.cpus_per_trial,
        )
        if not trials:
            return True
        ordered, memory_of = in_order(plan, trials)
        try:
            workers = make_executor(self.executor, self.address, memory_of)
            execute(ordered, plan.suite.resources, workers, make_display(self.console))
        except (Stopped, KeyboardInterrupt):
            return False
        shutil.rmtree(plan.directory / LOCKS, ignore_errors=True)  # nobody works any more
        return True


def _is_written_down(plan: Plan, command_of_all: str) -> bool:
    """Whether `suite.json` says what is planned already."""
    try:
        found = parse_object((plan.directory / FILE_NAME).read_bytes())
    except (OSError, ValueError):
        return False
    return found == plan.suite_file(command_of_all).model_dump(mode="json")


def _is_younger(page: Path, plan: Plan) -> bool:
    """Whether the report's page is younger than every run."""
    if not page.is_file():
        return False
    made = page.stat().st_mtime
    return all(plan.folder(run).changed() < made for run in plan.runs)


def _write_down(plan: Plan, command_of_all: str) -> None:
    """Write what is planned. Raises UserError if a folder holds a run of another spec."""
    for spec in plan.selected:
        plan.folder(spec).check_spec(spec)
    plan.suite_file(command_of_all).write(plan.directory)


def _refuse_links(plan: Plan) -> None:
    """Raises UserError where results would be written through a link."""
    inside = plan.directory.iterdir() if plan.directory.is_dir() else ()
    for path in (plan.directory.parent / PRETRAINED, *inside):
        refuse_link(path)
    for spec in plan.selected:
        if link := plan.folder(spec).link_below(plan.directory):
            refuse_link(link)


def _delete_selected(plan: Plan, console: Console) -> None:
    """Delete the folders of the selected runs, saying so first."""
    folders = [plan.folder(spec) for spec in plan.selected]
    there = [folder for folder in folders if folder.exists()]
    if there:
        runs = "run" if len(there) == 1 else "runs"
        say(console, f"--fresh: deleting {len(there)} earlier {runs} in {plan.directory}.")
        delete_runs(there)


def _announcement(plan: Plan, left: int) -> str:
    budgets = sorted({spec.total_steps for spec in plan.selected})
    steps = " to ".join(map(str, {budgets[0]: None, budgets[-1]: None}))
    label = "SMOKE TEST, its scores mean nothing: " if plan.smoke else ""
    tuning = sum(map(plan.tunes, plan.selected))
    first = f" Those that choose settings come first: {tuning}." if tuning else ""
    return (
        f"{label}{plan.suite.title}: {plan.asked_for} runs of {steps} steps, "
        f"{len(plan.selected) - left} done already, {left + len(plan.undecided)} to do.{first}"
    )


def earlier_code(plan: Plan, *, fresh: bool = False) -> Iterator[str]:
    """A sentence on each method whose code has changed since it finished runs of the plan.

    fresh: all selected runs are asked for anew, so that it needs no word why they are trained.
    """
    outdated = [] if fresh else plan.outdated
    for runs, kept in ((outdated, False), (plan.kept, True)):
        methods = Counter((run.algorithm, run.code != "") for run in runs)
        for (method, recorded), count in methods.items():
            were, they_are, them = (
                ("was", "it is", "it") if count == 1 else ("were", "they are", "them")
            )
            changed = (
                f"The code of {method} has changed since {count} of its runs {were} made"
                if recorded
                else f"Which code of {method} made {count} of its runs is not recorded"
            )
            fate = (
                "kept, and marked in tables" if kept else f"trained again. To keep {them}: --keep"
            )
            yield f"{changed}: {they_are} {fate}."


def _farewell(plan: Plan, *, fresh: bool) -> str:
    done = len(plan.selected) - len(plan.unfinished())
    without = " without --fresh" if fresh else ""
    return (
        f"Stopped with {done} of {plan.asked_for} runs done. Everything so far is kept: give "
        f"the same command{without} to continue."
    )


def _conclude(plan: Plan, console: Console) -> int:
    """Name the runs that did not finish. Returns the exit code."""
    failed = plan.unfinished()
    for spec in failed:
        status = plan.folder(spec).status()
        reason = status.error.splitlines()[0] if status and status.error else "it did not finish"
        say(console, f"failed: {spec.task.id} {spec.label} seed {spec.seed}: {reason}")
    for cell in dict.fromkeys(f"{spec.task.id} {spec.label}" for spec in plan.undecided):
        say(console, f"not run: {cell}: tuning has chosen no setting, as its runs failed")
    return SOME_FAILED if failed or plan.undecided else ALL_DONE


def whole_suite_command(suite: str, options: RunOptions) -> str:
    """What makes all of a suite's results, however few this invocation was asked for.

    `suite` as it was given: a name holds wherever the harness is installed.
    """
    words = ["python", "-m", "harness", "run", suite]
    words += ["--smoke"] if options.smoke else []
    words += ["--cpu"] if options.cpu else []
    words += ["--keep"] if options.keep else []
    words += [] if options.seeds is None else ["--seeds", str(options.seeds)]
    return shlex.join(words)
