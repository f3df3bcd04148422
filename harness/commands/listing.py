"""`harness list`: algorithms, tasks, suites and datasets. Light: imports none of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

Rows = list[dict[str, Any]]


def show_list(what: str, console: Console, *, as_json: bool) -> None:
    """Print the rows of `what` as a table, or as JSON."""
    rows = _LISTS[what]()
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for i, column in enumerate(rows[0] if rows else ()):
        table.add_column(column, no_wrap=i == 0, overflow="fold")
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    console.print(table)


def _algorithms() -> Rows:
    from algorithms.registry import algorithms

    return [
        {"id": e.id, "title": e.title, "family": e.family, "paper": e.paper}
        for e in algorithms().values()
    ]


def _tasks() -> Rows:
    from harness.tasks import get_task, task_ids

    rows = []
    for task in map(get_task, task_ids()):
        row = {"id": task.id, "title": task.title, "dataset": task.dataset.id}
        rows.append(row | {"environment": task.environment.id, "horizon": task.horizon})
    return rows


def _suites() -> Rows:
    from harness.suite.schema import suite_files
    from harness.suite.yaml_file import read_yaml

    rows = []
    for path in suite_files():
        data = read_yaml(path).data
        rows.append({key: data.get(key, "") for key in ("name", "title", "question")})
    return rows


def _datasets() -> Rows:
    from harness.data.catalog import datasets

    return datasets()


_LISTS: dict[str, Callable[[], Rows]] = {
    "algorithms": _algorithms,
    "tasks": _tasks,
    "suites": _suites,
    "datasets": _datasets,
}


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
