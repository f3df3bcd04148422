"""`harness list`: algorithms, tasks, suites and datasets. Light: imports at most the one named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from textwrap import indent
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

Rows = list[dict[str, Any]]
_BENCHMARKS = ("gym_mujoco", "pointmaze", "adroit")  # suites with every method's published settings


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


def show_method(name: str, console: Console, *, as_json: bool) -> None:
    """Print a method's row, its oracles, its fields and what suites set them to.

    Raises UserError for an unknown method, and for one that cannot be loaded.
    """
    from algorithms import registry
    from harness.docs.config_tables import HEADER, field_rows, known_config
    from harness.docs.oracles import read_oracles, worst_differences

    model = known_config(name)
    (found,) = (row for row in _algorithms() if row["id"] == name)
    row = {**found, "action_selection": registry.load(name).action_selection}
    settings: dict[str, dict[str, Any]] = {}
    for suite, method, entry in _benchmark_entries():
        if method == name:
            settings.setdefault(suite, {}).update(entry)
    if as_json:
        fields = [
            dict(zip(HEADER, each, strict=True)) for *_, rows in field_rows(model) for each in rows
        ]
        print(json.dumps(row | {"fields": fields, "suites": settings}, indent=2))
        return
    facts = Table(box=None, pad_edge=False, show_header=False)
    for key, value in row.items():
        facts.add_row(key, _text(value))
    for oracle in read_oracles():
        if oracle.method == name:
            version = f" {oracle.version}" if oracle.version else ""
            facts.add_row(
                f"{oracle.oracle}{version}", f"{oracle.compared}: {worst_differences(oracle)}"
            )
    console.print(facts)
    for cls, summary, rows in field_rows(model):
        table = Table(box=None, pad_edge=False, title=f"\n{cls}: {summary}", title_justify="left")
        for column in HEADER:
            table.add_column(column, overflow="fold")
        for each in rows:
            table.add_row(*(cell.replace("`", "") for cell in each))
        console.print(table)
    for suite, entries in settings.items():
        written = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True)
        console.print(f"\nsuites/{suite}.yaml", indent(written, "  "), sep="\n", markup=False)


def show_task(task_id: str, console: Console, *, as_json: bool) -> None:
    """Print what a task learns from, where it is scored and on which scale.

    Raises UserError for an unknown task.
    """
    from harness.tasks import get_task, words

    task = get_task(task_id)
    if as_json:
        print(json.dumps(task.model_dump(mode="json"), indent=2))
        return
    data, environment, reference = task.dataset, task.environment, task.reference
    rows = {
        "id": task.id,
        "title": task.title,
        "family": task.family,
        "ranks methods": "yes" if task.ranks else "no: its data are one policy's actions and noise",
        "dataset": data.id,
        "made by": f"{data.source} {data.recipe} {_arguments(data.params)}",
        "rewards": words.rewards(task),
        "needs": words.needs(task) or "nothing that is not made or fetched here",
        "environment": f"{environment.id} {_arguments(environment.kwargs)}",
        "wrappers": environment.wrappers,
        "horizon": f"{task.horizon} steps",
        "scores 0 and 100": f"returns of {reference.min:g} and {reference.max:g}",
        "these are": words.source(task),
        "a score means": words.semantics(task),
    }
    facts = Table(box=None, pad_edge=False, show_header=False)
    facts.add_column(no_wrap=True)
    facts.add_column(overflow="fold")
    for key, value in rows.items():
        facts.add_row(key, _text(value))
    console.print(facts, markup=False)


def _arguments(params: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in params.items())


def _algorithms() -> Rows:
    """`settings`: benchmarks whose suites run it."""
    from algorithms.registry import algorithms
    from harness.docs.oracles import read_oracles

    oracles: dict[str, list[str]] = {}
    for oracle in read_oracles():
        oracles.setdefault(oracle.method, []).append(oracle.oracle)
    runs: dict[str, list[str]] = {}
    for suite, method, _ in _benchmark_entries():
        runs.setdefault(method, []).append(suite)
    return [
        {
            "id": e.id,
            "title": e.title,
            "family": e.family,
            "paper": e.paper,
            "year": _year(e.paper),
            "critic": "trusted" if e.trusts_critic else "not needed",
            "oracle": list(dict.fromkeys(oracles.get(e.id, []))),
            "settings": list(dict.fromkeys(runs.get(e.id, []))),
        }
        for e in algorithms().values()
    ]


def _benchmark_entries() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Suite, method and entry of every algorithm of the benchmarks' suites."""
    from harness.suite.schema import find_suite
    from harness.suite.yaml_file import read_yaml

    for suite in _BENCHMARKS:
        for label, entry in read_yaml(find_suite(suite)).data["algorithms"].items():
            yield suite, entry.get("algorithm", label), {label: entry}


def _year(paper: str) -> str:
    """Of arXiv's number, or the one that it is given with."""
    arxiv = re.match(r"arXiv:(\d\d)", paper)
    found = re.search(r"\b(?:19|20)\d\d\b", paper)
    return f"20{arxiv[1]}" if arxiv else found[0] if found else ""


def _tasks() -> Rows:
    from harness.tasks import get_task, task_ids, words

    rows = []
    for task in map(get_task, task_ids()):
        row = {"id": task.id, "title": task.title, "dataset": task.dataset.id}
        where = {"environment": task.environment.id, "horizon": task.horizon}
        rows.append({**row, **where, "needs": words.needs(task)})
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
