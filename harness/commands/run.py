"""What `harness run` does: plan, make data, skip what is done, execute, report."""

from __future__ import annotations

import shlex
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from harness.commands.console import say
from harness.commands.data_progress import data_progress
from harness.commands.report import show_report
from harness.costs.prospect import in_order
from harness.errors import UserError
from harness.execution.execute import Stopped, execute, sole_use
from harness.execution.executor import lacking, make_executor
from harness.execution.plan import Plan
from harness.execution.prepare import prepare
from harness.execution.progress import make_display
from harness.runs.trackers import installed_trackers
from harness.runs.trial import LOCKS, Trial, group
from harness.suite.schema import find_suite

ALL_DONE, SOME_FAILED, STOPPED = 0, 1, 130  # exit codes


def run_suite(
    suite: str,
    *,
    executor: str,
    address: str | None,
    only: Sequence[str],
    seeds: int | None,
    smoke: bool,
    cpu: bool,
    fresh: bool,
    keep: bool,
    results: Path,
    command: str,
    console: Console,
    log: Sequence[str] = (),
) -> int:
    """Carry out `harness run` with its arguments; `command` is the command line, for the record.

    Returns the exit code. Raises UserError for anything wrong before the first run starts.
    """
    path = find_suite(suite)
    trackers = installed_trackers(log)
    with data_progress(console) as progress:
        plan = prepare(
            path,
            results,
            progress,
            only=only,
            seeds=seeds,
            smoke=smoke,
            cpu=cpu,
            fresh=fresh,
            keep=keep,
            lacking=partial(lacking, executor, address),
        )
    with sole_use(plan.directory, partial(say, console)):
        _refuse_links(plan)
        if fresh:
            _delete_selected(plan, console)
        for spec in plan.selected:
            plan.folder(spec).check_spec(spec)
        command_of_all = whole_suite_command(
            suite, seeds=seeds, smoke=smoke, cpu=cpu, keep=bool(plan.kept)
        )
        plan.suite_file(command_of_all).write(plan.directory)
        left = plan.unfinished()
        say(console, _announcement(plan, len(left)))
        for sentence in earlier_code(plan):
            say(console, sentence)
        trials = group(
            left,
            plan.suite.resources.seeds_per_trial,
            suite_dir=plan.directory,
            invocation=uuid.uuid4().hex,
            command=command,
            executor=executor,
            trackers=trackers,
            cpus=plan.suite.resources.cpus_per_trial,
        )
        if trials and not _carry_out(plan, trials, executor, address, console):
            say(console, _farewell(plan, fresh))
            return STOPPED
        reported = show_report(plan.directory, console)
    code = _conclude(plan, console)
    return code if reported else SOME_FAILED


def _carry_out(
    plan: Plan, trials: Sequence[Trial], executor: str, address: str | None, console: Console
) -> bool:
    """Run the trials to their end; False if the user stopped them."""
    ordered, memory_of = in_order(plan, trials)
    try:
        workers = make_executor(executor, address, memory_of)
        execute(ordered, plan.suite.resources, workers, make_display(console))
    except (Stopped, KeyboardInterrupt):
        return False
    shutil.rmtree(plan.directory / LOCKS, ignore_errors=True)  # nobody works any more
    return True


def _refuse_links(plan: Plan) -> None:
    """Raises UserError where a run's results would be written through a link."""
    for spec in plan.selected:
        if link := plan.folder(spec).link_below(plan.directory):
            raise UserError(
                f"{link} is a link, and results are not written through links. Nothing was "
                "changed. Move it away, or link the whole results folder instead."
            )


def _delete_selected(plan: Plan, console: Console) -> None:
    """Delete the folders of the selected runs, saying so first."""
    folders = [plan.folder(spec) for spec in plan.selected]
    there = [folder for folder in folders if folder.exists()]
    say(console, f"--fresh: deleting {len(there)} earlier runs in {plan.directory}.")
    for folder in there:
        folder.delete()


def _announcement(plan: Plan, left: int) -> str:
    count, budgets = len(plan.selected), sorted({spec.total_steps for spec in plan.selected})
    steps = " to ".join(map(str, {budgets[0]: None, budgets[-1]: None}))
    label = "SMOKE TEST, its scores mean nothing: " if plan.smoke else ""
    return (
        f"{label}{plan.suite.title}: {count} runs of {steps} steps, "
        f"{count - left} done already, {left} to do."
    )


def earlier_code(plan: Plan) -> Iterator[str]:
    """A sentence on each method whose code has changed since it finished runs of the plan."""
    for runs, kept in ((plan.outdated, False), (plan.kept, True)):
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


def _farewell(plan: Plan, fresh: bool) -> str:
    done = len(plan.selected) - len(plan.unfinished())
    without = " without --fresh" if fresh else ""
    return (
        f"Stopped with {done} of {len(plan.selected)} runs done. Everything so far is kept: give "
        f"the same command{without} to continue."
    )


def _conclude(plan: Plan, console: Console) -> int:
    """Name the runs that did not finish. Returns the exit code."""
    failed = plan.unfinished()
    for spec in failed:
        status = plan.folder(spec).status()
        reason = status.error.splitlines()[0] if status and status.error else "it did not finish"
        say(console, f"failed: {spec.task.id} {spec.label} seed {spec.seed}: {reason}")
    return SOME_FAILED if failed else ALL_DONE


def whole_suite_command(
    suite: str, *, seeds: int | None, smoke: bool, cpu: bool, keep: bool
) -> str:
    """What makes all of a suite's results, however few this invocation was asked for.

    `suite` as it was given: a name holds wherever the harness is installed.
    """
    words = ["python", "-m", "harness", "run", suite]
    words += ["--smoke"] if smoke else []
    words += ["--cpu"] if cpu else []
    words += ["--keep"] if keep else []
    return shlex.join(words if seeds is None else [*words, "--seeds", str(seeds)])
