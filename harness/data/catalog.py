"""Which datasets there are, by id, and which of them are on this machine (light)."""

from __future__ import annotations

from typing import Any

from harness.data.remarks import remarks
from harness.data.store import MANIFEST, DatasetFolder, data_root
from harness.errors import UserError
from harness.tasks import TaskSpec, find_task, get_task, hint, task_ids, task_of_dataset


def datasets() -> list[dict[str, Any]]:
    """Every task's default dataset, then those of other sizes and seeds that are on disk.

    Rows hold `id`, `tasks`, `transitions` (there are, or are asked for), `state` (`made` or
    `absent`), `warnings` (ids of `remarks`) and `path`.
    """
    tasks_of: dict[str, list[str]] = {}
    for task_id in task_ids():
        tasks_of.setdefault(get_task(task_id).dataset.id, []).append(task_id)
    rows = [_row(dataset_id, tasks) for dataset_id, tasks in tasks_of.items()]
    root = data_root() / "minari"
    on_disk = sorted(path.parent.relative_to(root) for path in root.rglob(MANIFEST))
    for dataset_id in map(str, on_disk):
        task = task_of_dataset(dataset_id)
        if task is not None and dataset_id not in tasks_of:
            rows.append(_row(dataset_id, tasks_of.get(get_task(task.id).dataset.id, [task.id])))
    return rows


def _row(dataset_id: str, tasks: list[str]) -> dict[str, Any]:
    task = task_of_dataset(dataset_id)
    assert task is not None
    folder = DatasetFolder.of(task)
    manifest = folder.manifest() if folder.exists else None
    asked = task.dataset.params.get("transitions", "all there are")
    return {
        "id": dataset_id,
        "tasks": tasks,
        "transitions": manifest["steps"] if manifest else asked,
        "state": "made" if manifest else "absent",
        "warnings": list(remarks(manifest)) if manifest else [],
        "path": str(folder.path),
    }


def resolve(name: str, *, transitions: int | None = None, seed: int | None = None) -> TaskSpec:
    """The task meant by a task id, or the (sparse) task that learns from a dataset id.

    Raises UserError for an unknown name, or for options beside a dataset id that already has them.
    """
    given = {"transitions": transitions, "data_seed": seed}
    options = {key: value for key, value in given.items() if value is not None}
    task = find_task(name, options)
    if task is not None:
        return task
    task = task_of_dataset(name)
    if task is None:
        known = [*task_ids(), *(row["id"] for row in datasets())]
        raise UserError(
            f"There is no task or dataset '{name}'.{hint(name, known)} "
            "List them with: python -m harness list datasets"
        )
    if options:
        raise UserError(
            f"'{name}' is a dataset id, which already says its size and seed. Give "
            f"--transitions and --seed with the task id '{task.id}' instead."
        )
    return task
