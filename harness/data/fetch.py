"""What downloads the files of a dataset, by the source that its task names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.data import minari_download
from harness.data.datasets import Progress
from harness.data.store import make_command
from harness.errors import UserError
from harness.tasks.spec import TaskSpec

Fetcher = Callable[[TaskSpec, Progress], None]

_FETCHERS: dict[str, Fetcher] = {"minari-remote": minari_download.fetch}


def fetchers(tasks: Sequence[TaskSpec]) -> list[Fetcher]:
    """One for each task. Raises UserError for tasks whose data are not downloaded."""
    if made := [task for task in tasks if task.dataset.source not in _FETCHERS]:
        raise UserError(
            "\n".join(
                f"{task.dataset.id} is not fetched but made on this machine, by the recipe "
                f"'{task.dataset.recipe}'. Make it with: {make_command(task)}"
                for task in made
            )
        )
    return [_FETCHERS[task.dataset.source] for task in tasks]
