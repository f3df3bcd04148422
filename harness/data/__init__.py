"""The data of tasks: made on this machine, stored as Minari datasets, trained on as packed rows."""

from __future__ import annotations

from collections.abc import Iterable

from harness.data import dataset_lock
from harness.data.cache import (
    LoadedData,
    build_rows,
    cache_folder,
    drop_rows,
    open_rows,
    packed_rows,
)
from harness.data.datasets import (
    Progress,
    another_dataset,
    changed_sources,
    make_dataset,
    silent,
)
from harness.data.recipe import recipe_of
from harness.data.store import MANIFEST, DatasetFolder, data_root, make_command, rows_root
from harness.errors import UserError
from harness.tasks.spec import TaskSpec

__all__ = [
    "LoadedData",
    "Progress",
    "changed",
    "data_root",
    "ensure",
    "fetch",
    "missing",
    "packed_rows",
    "prepare",
    "rows_root",
    "to_make",
    "verify",
]


def ensure(task: TaskSpec, *, make: bool = True, progress: Progress = silent) -> LoadedData:
    """The task's data, made first if they are missing and `make` allows it.

    Safe to call from several processes at once: one makes, the others wait. Every open checks the
    rows' sha256. Raises UserError for missing data (`make=False`), bytes that do not match their
    manifest, another version than the task or the lock file names, or a full disk.
    """
    if not make and not DatasetFolder.of(task).exists:
        not_made = (
            f"The dataset {task.dataset.id} of {task.id} is not made yet. "
            f"Make it with: {make_command(task)}"
        )
        raise UserError("\n".join(recipe_of(task).missing(task)) or not_made)
    if not DatasetFolder.of(task).exists:
        make_dataset(task, progress=progress)
    return _opened(task, progress)


def to_make(tasks: Iterable[TaskSpec]) -> list[TaskSpec]:
    """Those of the tasks whose dataset is not on this machine yet."""
    return [task for task in tasks if not DatasetFolder.of(task).exists]


def missing(tasks: Iterable[TaskSpec]) -> list[str]:
    """What the tasks' datasets are made of and is not on this machine.

    A sentence for each thing, with how to get it. Nothing is made.
    """
    found = (what for task in to_make(tasks) for what in recipe_of(task).missing(task))
    return list(dict.fromkeys(found))


def changed(tasks: Iterable[TaskSpec]) -> list[str]:
    """What the tasks' datasets were made of and is no longer the same, a sentence for each.

    That is settings, and files, whose sentence says how to take them in. Reads whole files; nothing
    is made.
    """
    here = [task for task in tasks if DatasetFolder.of(task).exists]
    found: list[str] = []
    for task in here:
        found += another_dataset(task, DatasetFolder.of(task).manifest()) or changed_sources(task)
    return list(dict.fromkeys(found))


def fetch(task: TaskSpec, *, progress: Progress = silent) -> list[str]:
    """Download what the task's dataset is made of, unless the dataset is there.

    Returns what went wrong on the way, a sentence each. Raises UserError if it cannot be had, or if
    the dataset is made and not downloaded.
    """
    return [] if DatasetFolder.of(task).exists else recipe_of(task).fetch(task, progress)


def prepare(
    task: TaskSpec, *, force: bool = False, workers: int | None = None, progress: Progress = silent
) -> LoadedData:
    """Make whatever is missing of the task's dataset and rows; `force` makes all of it again.

    Raises UserError as `ensure` does, and unless forced if what the dataset was made of is no
    longer the same.
    """
    if force or not DatasetFolder.of(task).exists:
        make_dataset(task, force=force, workers=workers, progress=progress)
    elif problems := changed([task]):
        raise UserError("\n".join(problems))
    if force:
        drop_rows(task.dataset.id)
    return _opened(task, progress)


def _opened(task: TaskSpec, progress: Progress) -> LoadedData:
    """The data of a task whose dataset exists."""
    manifest = DatasetFolder.of(task).manifest()
    if problems := another_dataset(task, manifest):
        raise UserError(problems[0])
    anew = make_command(task, force=True) if manifest.get("sources") else ""
    dataset_lock.admit(task.dataset.id, manifest["arrays"], anew=anew)
    if not (cache_folder(task) / MANIFEST).exists():
        build_rows(task, progress)
    return open_rows(task)


def verify(task: TaskSpec) -> list[str]:
    """What is wrong with the task's data on disk, a sentence each; empty when all is well.

    Looks at bytes and at content (see `harness.data.checks.verification`); repairs nothing.
    """
    from harness.data.checks import verification

    return verification.verify(task)
