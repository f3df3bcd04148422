"""What a suite may ask its report to draw, beside the figures that every report has.

All keys of a suite file's `figures` are the fields of these models. `value`, `values` and `names`
are measured on finished runs: scores, training metrics, measures of episodes, and the time of a
single decision (`latency`; in results of earlier versions the amortised time of an action).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from harness.suite.problems import explain, unknown
from harness.suite.rows import Row
from harness.suite.yaml_file import Problem
from harness.tasks.spec import TaskSpec


def _quantity(text: str) -> str:
    kind, colon, name = text.partition(":")
    if text in {"score", "latency"} or (kind in {"metric", "measure"} and colon and name):
        return text
    raise ValueError("write score, latency, metric:<name> or measure:<name>")


Quantity = Annotated[str, AfterValidator(_quantity)]


def slug(text: str) -> str:
    """A title or task id as part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


class _Figure(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    title: str = Field(min_length=1)  # above it, and in the names of its files
    label: str = "*"  # pattern of the entries to show, or of single rows of their sweeps
    task: str = "*"  # pattern of the tasks to show

    @property
    def slug(self) -> str:
        """The name of its files."""
        return slug(self.title)

    def shows_row(self, label: str, base: str) -> bool:
        return fnmatchcase(base, self.label) or fnmatchcase(label, self.label)

    def shows_task(self, task_id: str) -> bool:
        return fnmatchcase(task_id, self.task)


class Heatmap(_Figure):
    """One panel per task, entry and further swept field: means over seeds by two swept fields."""

    kind: Literal["heatmap"]  # what it draws
    x: str  # a swept field
    y: str  # another
    value: Quantity = "score"  # or latency (ms of a decision), metric:NAME, measure:NAME


class Trend(_Figure):
    """Means and 95% intervals over seeds against `x`, one panel per task, one line per entry.

    Further swept fields make lines of their own, but not against `latency`: there the rows of an
    entry are the points of its line.
    """

    kind: Literal["trend"]  # what it draws
    x: str  # a swept field, latency, or task:<option>, which draws all tasks in a panel
    value: Quantity = "score"  # or latency (ms of a decision), metric:NAME, measure:NAME
    group: str = "label"  # a line each: label, selection (of actions) or a swept field


class Metrics(_Figure):
    """Training metrics against steps: one panel per metric, page per task and line per row."""

    kind: Literal["metrics"]  # what it draws
    names: list[str] = Field(min_length=1)  # of metrics, such as critic/loss


class Table(_Figure):
    """One table per task: rows of the comparison by quantities, mean ± std over seeds."""

    kind: Literal["table"]  # what it draws
    values: list[Quantity] = Field(min_length=1)  # score, latency, metric:NAME, measure:NAME


Figure = Heatmap | Trend | Metrics | Table
_KINDS: dict[str, type[Figure]] = {
    "heatmap": Heatmap,
    "trend": Trend,
    "metrics": Metrics,
    "table": Table,
}


def parse_figures(raw: Sequence[Mapping[str, Any]]) -> tuple[list[Figure], list[Problem]]:
    """The figures of a suite file, and what is wrong with those left out."""
    figures: list[Figure] = []
    problems: list[Problem] = []
    for i, content in enumerate(raw):
        model = _KINDS.get(str(content.get("kind")))
        if model is None:
            message = unknown("kind of figure", str(content.get("kind", "")), _KINDS)
            problems.append(Problem(("figures", i, "kind"), message))
            continue
        try:
            figures.append(model.model_validate_json(json.dumps(content), strict=True))
        except ValidationError as error:
            found = explain(error, content, model)
            problems += [Problem(("figures", i, *p.key_path), p.message) for p in found]
    counts = Counter(figure.slug for figure in figures)
    for i, content in enumerate(raw):
        if any(f.title == content.get("title") and counts[f.slug] > 1 for f in figures):
            problems.append(Problem(("figures", i, "title"), "another figure has this title"))
    return figures, problems


def figure_problems(
    figures: Sequence[Figure], rows: Sequence[Row], tasks: Sequence[TaskSpec]
) -> Iterator[Problem]:
    """What figures name and the suite does not have: entries, tasks, swept fields, options."""
    for i, figure in enumerate(figures):
        drawn = [row for row in rows if figure.shows_row(row.label, row.base)]
        shown = [task for task in tasks if figure.shows_task(task.id)]
        if not drawn:
            every = dict.fromkeys(row.base for row in rows)
            yield Problem(("figures", i, "label"), unknown("entry", figure.label, every))
        if not shown:
            every = dict.fromkeys(task.id for task in tasks)
            yield Problem(("figures", i, "task"), unknown("task", figure.task, every))
        if not drawn or not shown:
            continue
        swept = dict.fromkeys(field for row in drawn for field in row.variant)
        options = dict.fromkeys(name for task in shown for name in task_options(task))
        for key, name in _swept_fields(figure):
            option = name.removeprefix("task:")
            if option != name and option not in options:
                yield Problem(("figures", i, key), unknown("option of tasks", option, options))
            elif option == name and name not in swept:
                message = f"no entry shown sweeps it: {unknown('field', name, swept)}"
                yield Problem(("figures", i, key), message)


def task_options(task: TaskSpec) -> dict[str, JsonValue]:
    """What `task:<option>` may name: parameters of the task's environment and data, its values."""
    return task.environment.kwargs | task.dataset.params | task.values


def _swept_fields(figure: Figure) -> Iterable[tuple[str, str]]:
    """The keys of a figure that name a swept field or a task's option, with what they name."""
    match figure:
        case Heatmap():
            return [("x", figure.x), ("y", figure.y)]
        case Trend():
            named = [("x", figure.x), ("group", figure.group)]
            return [(key, name) for key, name in named if name not in _OWN_WORDS]
        case _:
            return []


_OWN_WORDS = {"latency", "label", "selection"}
