"""Options of tasks, and how a dataset's id says its size and seed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from harness.errors import UserError
from harness.tasks.spec import TaskSpec

_SUFFIX = re.compile(r"(?P<name>.+?)(-(?P<size>[1-9]\d*k?))?(-seed(?P<seed>\d+))?-v\d+")


def whole_numbers(
    task_id: str, options: Mapping[str, Any], lowest: Mapping[str, int]
) -> dict[str, int]:
    """The options, once each is known and a whole number of at least its `lowest`.

    Raises UserError for any other option or value.
    """
    for name, value in options.items():
        if name not in lowest:
            raise UserError(f"{task_id} has no option '{name}'; it takes {' and '.join(lowest)}.")
        if not isinstance(value, int) or isinstance(value, bool) or value < lowest[name]:
            raise UserError(
                f"{task_id}: option '{name}' must be a whole number of at least {lowest[name]}, "
                f"found {value!r}."
            )
    return dict(options)


def sized_id(name: str, transitions: int | None, seed: int = 0, version: int = 0) -> str:
    """`name-150k-seed2-v0`; None for the default size, whose id does not say it."""
    size = "" if transitions is None else f"-{in_thousands(transitions)}"
    return f"{name}{size}{f'-seed{seed}' if seed else ''}-v{version}"


def in_thousands(count: int) -> str:
    """`150k` for 150000, `1234` for 1234."""
    thousands, rest = divmod(count, 1000)
    return str(count) if rest else f"{thousands}k"


def parse_dataset_id(text: str) -> tuple[str, dict[str, int]] | None:
    """A dataset id's name, and those of `transitions` and `data_seed` that it says; None if none.

    A name is taken as short as the pattern allows.
    """
    match = _SUFFIX.fullmatch(text)
    if match is None:
        return None
    options = {}
    if size := match["size"]:
        options["transitions"] = int(size.removesuffix("k")) * (1000 if size.endswith("k") else 1)
    if match["seed"]:
        options["data_seed"] = int(match["seed"])
    return match["name"], options


def task_of_sized_id(
    build: Callable[[str, Mapping[str, Any]], TaskSpec | None], dataset_id: str
) -> TaskSpec | None:
    """The task whose `sized_id` this is, of a family whose datasets are named after its tasks."""
    parsed = parse_dataset_id(dataset_id)
    try:
        task = build(*parsed) if parsed else None
    except UserError:  # the task has no such option
        return None
    return task if task is not None and task.dataset.id == dataset_id else None
