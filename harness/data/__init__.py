"""The data of tasks: made on this machine, stored as Minari datasets, trained on as packed rows."""

from __future__ import annotations

from harness.data import lock_file
from harness.data.cache import LoadedData, build_rows, cache_folder, drop_rows, open_rows
from harness.data.datasets import Progress, make_dataset, silent
from harness.data.store import MANIFEST, DatasetFolder, data_root, make_command
from harness.errors import UserError
from harness.tasks.spec import TaskSpec

__all__ = ["LoadedData", "Progress", "data_root", "ensure", "prepare", "verify"]


def ensure(task: TaskSpec, *, make: bool = True, progress: Progress = silent) -> LoadedData:
    """The task's data, made first if they are missing and `make` allows it.

    Safe to call from several processes at once: one makes, the others wait. Every open checks the
    rows' sha256. Raises UserError for missing data (`make=False`), bytes that do not match their
    manifest, another version than the lock file has, or a full disk.
    """
    if not make and not DatasetFolder.of(task).exists:
        raise UserError(
            f"The dataset {task.dataset.id} of {task.id} is not made yet. "
            f"Make it with: {make_command(task)}"
        )
    return prepare(task, progress=progress)


def prepare(
    task: TaskSpec, *, force: bool = False, workers: int | None = None, progress: Progress = silent
) -> LoadedData:
    """Make whatever is missing of the task's dataset and rows; `force` makes all of it again."""
    if force or not DatasetFolder.of(task).exists:
        make_dataset(task, force=force, workers=workers, progress=progress)
    lock_file.admit(task.dataset.id, DatasetFolder.of(task).manifest()["arrays"])
    if force:
        drop_rows(task.dataset.id)
    if not (cache_folder(task) / MANIFEST).exists():
        build_rows(task, progress)
    return open_rows(task)


def verify(task: TaskSpec) -> list[str]:
    """What is wrong with the task's data on disk, a sentence each; empty when all is well.

    Looks at bytes and at content (see `harness.data.verification`); repairs nothing.
    """
    from harness.data import verification

    return verification.verify(task)
