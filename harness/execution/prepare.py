"""Gets the data that the runs of a suite need, and plans them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.data import Progress, ensure, require
from harness.errors import UserError
from harness.execution.plan import Draft, Plan, draft


def prepare(
    suite_path: Path,
    results: Path,
    progress: Progress,
    *,
    only: Sequence[str] = (),
    seeds: int | None = None,
    smoke: bool = False,
    cpu: bool = False,
    keep: bool = False,
) -> Plan:
    """Read a suite (see `draft`), make the data that the selection needs, and list its runs.

    `progress` is told of data being made; `keep` is of `Draft.plan`. Raises UserError for anything
    wrong with the suite, the selection or the data; nothing is made unless all that is needed is
    there or can be made.
    """
    drafted = draft(suite_path, results, only=only, seeds=seeds, smoke=smoke, cpu=cpu)
    require(drafted.needed_tasks)
    return drafted.plan(_dataset_hashes(drafted, progress), keep=keep)


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
