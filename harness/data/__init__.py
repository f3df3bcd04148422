"""The data of tasks: made on this machine, stored as Minari datasets, trained on as packed rows."""

from __future__ import annotations

from collections.abc import Iterable

from harness.data import dataset_lock
from harness.data.cache import LoadedData, build_rows, cache_folder, drop_rows, open_rows
from harness.data.datasets import Progress, another_dataset, make_dataset, silent
from harness.data.recipe import recipe_of
from harness.data.store import MANIFEST, DatasetFolder, data_root, make_command
from harness.errors import UserError
from harness.tasks.spec import TaskSpec

__all__ = ["LoadedData", "Progress", "data_root", "ensure", "fetch", "prepare", "require", "verify"]


def ensure(task: TaskSpec, *, make: bool = True, progress: Progress = silent) -> LoadedData:
    """The task's data, made first if they are missing and `make` allows it.

    Safe to call from several processes at once: one makes, the others wait. Every open checks the
    rows' sha256. Raises UserError for missing data (`make=False`), bytes that do not match their
    manifest, another version than the task or the lock file names, or a full disk.
    """
    if not make and not DatasetFolder.of(task).exists:
        raise UserError(
            recipe_of(task).missing(task)
            or f"The dataset {task.dataset.id} of {task.id} is not made yet. "
            f"Make it with: {make_command(task)}"
        )
    return prepare(task, progress=progress)


def require(tasks: Iterable[TaskSpec]) -> None:
    """Raise UserError unless every task's dataset is there or can be made here.

    The message lists every one that is not, each with the command that gets it. Nothing is made.
    """
    absent = {
        task.dataset.id: what
        for task in tasks
        if not DatasetFolder.of(task).exists and (what := recipe_of(task).missing(task))
    }
    if absent:
        count = "1 dataset is" if len(absent) == 1 else f"{len(absent)} datasets are"
        raise UserError(
            f"{count} not on this machine, and nothing was started:\n"
            + "\n".join(f"- {what}" for what in absent.values())
        )


def fetch(task: TaskSpec, *, progress: Progress = silent) -> list[str]:
    """Download what the task's dataset is made of, unless the dataset is there.

    Returns what went wrong on the way, a sentence each. Raises UserError if it cannot be had, or if
    the dataset is made and not downloaded.
    """
    return [] if DatasetFolder.of(task).exists else recipe_of(task).fetch(task, progress)


def prepare(
    task: TaskSpec, *, force: bool = False, workers: int | None = None, progress: Progress = silent
) -> LoadedData:
    """Make whatever is missing of the task's dataset and rows; `force` makes all of it again."""
    if force or not DatasetFolder.of(task).exists:
        make_dataset(task, force=force, workers=workers, progress=progress)
    manifest = DatasetFolder.of(task).manifest()
    if problems := another_dataset(task, manifest):
        raise UserError(problems[0])
    dataset_lock.admit(task.dataset.id, manifest["arrays"])
    if force:
        drop_rows(task.dataset.id)
    if not (cache_folder(task) / MANIFEST).exists():
        build_rows(task, progress)
    return open_rows(task)


def verify(task: TaskSpec) -> list[str]:
    """What is wrong with the task's data on disk, a sentence each; empty when all is well.

    Looks at bytes and at content (see `harness.data.checks.verification`); repairs nothing.
    """
    from harness.data.checks import verification

    return verification.verify(task)
