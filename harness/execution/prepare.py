"""Gets the data that the runs of a suite need, and plans them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.data import Progress, changed, ensure, missing, packed_rows, to_make
from harness.errors import UserError
from harness.execution.draft import AS_WRITTEN, Draft, RunOptions, draft
from harness.execution.plan import Plan
from harness.suite.schema import Resources

Lacking = Callable[[Resources], list[str]]  # what an executor needs and has not, a sentence each


def nothing(_resources: Resources) -> list[str]:
    """Lacking of an executor that needs nothing."""
    return []


def nothing_wrong(_plan: Plan) -> None:
    """The check of those who have none."""


def planned_without_data(drafted: Draft) -> Plan:
    """The plan of a suite whose data need not be there; nothing is made.

    Runs on data that are not there yet have an empty `dataset_sha256`.
    """
    found = {task.id: packed_rows(task) for task in drafted.tasks}
    hashes = {name: rows["rows"]["sha256"] if rows else "" for name, rows in found.items()}
    return drafted.plan(hashes)


def prepare(
    suite_path: Path,
    results: Path,
    progress: Progress,
    options: RunOptions = AS_WRITTEN,
    *,
    lacking: Lacking = nothing,
    check: Callable[[Plan], None] = nothing_wrong,
) -> Plan:
    """Read a suite (see `draft`), make the data that the selection needs, and list its runs.

    Args:
        suite_path: the suite file.
        results: the folder of all suites' results.
        progress: is told of data being made.
        options: what of it is asked for.
        lacking: what the executor lacks for the suite; not asked if there is nothing to train.
        check: raises UserError for a plan that is not to be run; before data are made, too.

    Raises:
        UserError: anything wrong with the suite, the selection or the data; or a list of all that
            is missing, data and executor, before anything is made.
    """
    drafted = draft(suite_path, results, options)
    resources = drafted.suite.resources
    if to_make(drafted.needed_tasks):
        _refuse([*missing(drafted.needed_tasks), *lacking(resources)])
        check(planned_without_data(drafted))
    if stale := changed(drafted.needed_tasks):
        raise UserError("\n".join(stale))
    plan = drafted.plan(_dataset_hashes(drafted, progress))
    if options.fresh:
        plan = plan.afresh()
    if plan.left:
        _refuse(lacking(resources))
    check(plan)
    return plan


def _refuse(absent: Sequence[str]) -> None:
    """Raises UserError if anything is missing."""
    if absent:
        count = "1 thing is" if len(absent) == 1 else f"{len(absent)} things are"
        raise UserError(
            f"{count} missing, and nothing was started:\n" + "\n".join(f"- {x}" for x in absent)
        )


def _dataset_hashes(drafted: Draft, progress: Progress) -> dict[str, str]:
    """Sha256 of each task's data; data not needed now is not made, and its task left out."""
    needed = {task.id for task in drafted.needed_tasks}
    hashes = {}
    for task in drafted.tasks:
        try:
            hashes[task.id] = ensure(task, make=task.id in needed, progress=progress).sha256
        except UserError:
            if task.id in needed:
                raise
    return hashes
