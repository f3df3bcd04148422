"""What `harness run --dry-run` says: every run, what would become of it, and why."""

from __future__ import annotations

from collections.abc import Container, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.commands.console import say
from harness.costs.prospect import refuse_few_evaluations
from harness.data import changed, missing
from harness.execution.draft import RunOptions, draft
from harness.execution.execute import is_in_use
from harness.execution.executors import lacking, refuse_executor
from harness.execution.plan import Plan
from harness.execution.prepare import planned_without_data
from harness.execution.progress import seed_ranges
from harness.runs.critic_probe import unmeasured_critics
from harness.runs.earlier import what_changed
from harness.runs.spec import RunSpec
from harness.runs.trial import taken_up
from harness.suite.schema import find_suite

_DONE = "done"
_UNDECIDED = "new, with the setting that tuning chooses before"


def show_dry_run(
    suite: str,
    options: RunOptions,
    *,
    executor: str,
    address: str | None,
    results: Path,
    console: Console,
) -> None:
    """List what `harness run` with these arguments would run and why, and what it lacks here.

    Writes nothing.

    Raises UserError for anything wrong with the suite or the selection.
    """
    refuse_executor(executor, address)
    plan = planned_without_data(draft(find_suite(suite), results, options))
    if options.fresh:
        plan = plan.afresh()
    refuse_few_evaluations(plan)
    in_use = is_in_use(plan.directory)
    at_work = taken_up(plan.directory) if in_use else set()
    console.print(_table(plan, at_work, fresh=options.fresh))
    count = len(plan.left) + len(plan.undecided)
    say(console, f"Would run {count:,} of {plan.asked_for:,} runs. Nothing was written.")
    if in_use:
        say(console, "Another command is at work here: until it ends, this one would be refused.")
    for sentence in _obstacles(plan):
        say(console, sentence)
    if plan.left or plan.undecided:
        for sentence in lacking(executor, address, plan.suite.resources):
            say(console, sentence)


def _table(plan: Plan, at_work: Container[str], *, fresh: bool) -> Table:
    """A line for seeds of a cell of which the same would become."""
    left = {id(spec) for spec in plan.left}
    grouped: dict[tuple[str, str, str], list[int]] = {}
    for spec in plan.selected:
        why = why_run(plan, spec, at_work, fresh=fresh) if id(spec) in left else _DONE
        grouped.setdefault((spec.task.id, spec.label, why), []).append(spec.seed)
    for spec in plan.undecided:
        key = (spec.task.id, spec.label, _UNDECIDED)
        grouped.setdefault(key, []).append(spec.seed)
    table = Table(box=None, pad_edge=False)
    for column in ("task", "algorithm", "seeds", "what", "why"):
        table.add_column(column, overflow="fold")
    for (task, label, why), found in grouped.items():
        what = ("skip", "done") if why == _DONE else ("run", why)
        table.add_row(task, label, seed_ranges(found), *what)
    return table


def why_run(plan: Plan, spec: RunSpec, at_work: Container[str] = (), *, fresh: bool) -> str:
    """Why a run that is left would be run, in a few words.

    at_work: hashes of the runs that another command is at.
    """
    folder = plan.folder(spec)
    status = folder.status()
    if fresh and folder.exists():
        return "asked for afresh"
    if status is None and folder.exists():
        return "has no status that can be read"
    if not spec.dataset_sha256:
        return "its data are not ready"
    if status is None:
        changes = what_changed(plan.directory, spec)
        return f"changed {' and '.join(changes)}" if changes else "new"
    if status.state == "failed":
        return f"failed at step {status.step}: {status.error.partition(chr(10))[0]}"
    if status.state == "done":
        return f"damaged: {', '.join(folder.damage(status))}"
    if status.state == "running" and spec.hash in at_work:
        return f"running now, at step {status.step}"
    return f"{'interrupted' if status.state == 'interrupted' else 'ended'} at step {status.step}"


def _obstacles(plan: Plan) -> Iterator[str]:
    """What `run` would do or say before it trains."""
    needed = {spec.task.id for spec in plan.selected}
    tasks = [task for task in plan.tasks if task.id in needed]
    absent = {spec.task.id for spec in plan.left if not spec.dataset_sha256}
    if absent:
        yield f"Data that are not ready yet, of {', '.join(sorted(absent))}, would be made first."
    yield from missing(tasks)
    yield from changed(tasks)
    if plan.left or plan.undecided:
        yield from unmeasured_critics(plan.suite_file(command=""))
