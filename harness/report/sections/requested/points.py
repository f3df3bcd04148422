"""The points of a trend: where they are, and which panel and line they belong to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from pydantic import JsonValue

from harness.report.action_selections import selections_in_order
from harness.report.comparison import Comparison
from harness.report.panels import in_words, spelled
from harness.report.records import Records
from harness.report.sections.requested.quantities import own_actions, quantity, shown
from harness.runs.suite_file import RowInfo
from harness.statistics.intervals import Interval, t_interval
from harness.suite.figures import Trend, task_options
from harness.tasks.spec import TaskSpec


@dataclass(frozen=True)
class Point:
    """What the seeds of a row have at one `x`; a reference is a row that does not sweep `x`.

    Attributes:
        method: id of the row's method.
        words: the row's values that its line does not name; empty where `x` says them.
        values: one per seed.
    """

    panel: str
    line: str
    method: str
    x: JsonValue
    words: str
    is_reference: bool
    values: tuple[float, ...]
    action_selection: str
    task: str

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def interval(self) -> Interval:
        """95% interval of the mean."""
        return t_interval(np.array(self.values))


def trend_points(figure: Trend, records: Records, comparison: Comparison) -> list[Point]:
    """Every point of the figure, in the suite's order of tasks and rows."""
    table = shown(figure, records, quantity(records, comparison, figure.value))
    if figure.group != "selection":
        table = own_actions(records, table)
    keys = ["task", "label", "action_selection"]
    latencies = quantity(records, comparison, "latency").groupby(keys)["value"].mean().to_dict()
    found = dict(list(table.groupby(keys)["value"]))
    selections = selections_in_order(table["action_selection"])
    swept = {field for row in records.suite.rows for field in row.variant}
    panels = _panels(figure, [t for t in records.suite.tasks if figure.shows_task(t.id)])
    points = []
    for task, row, selection in product(records.suite.tasks, records.suite.rows, selections):
        key = (task.id, row.label, selection)
        place = {"latency": latencies[key]} if key in latencies else {}
        place |= {f"task:{name}": value for name, value in task_options(task).items()}
        place |= row.variant
        is_reference = figure.x not in place and figure.x in swept
        if key not in found or not (is_reference or figure.x in place):
            continue
        line, words = _line(figure, row, selection)
        points.append(
            Point(
                panels[task.id],
                line,
                row.id,
                place.get(figure.x),
                words,
                is_reference,
                tuple(found[key].to_numpy(np.float64).tolist()),
                selection,
                task.id,
            )
        )
    return points


def _line(figure: Trend, row: RowInfo, selection: str) -> tuple[str, str]:
    """The name of a line, and of the row's point on it.

    Against latency the rows of an entry share a line, and their values name its points.
    """
    keep = {figure.group} if figure.x == "latency" else row.variant.keys() - {figure.x}
    named = {field: value for field, value in row.variant.items() if field in keep}
    rest = [spelled(row.variant[field]) for field in row.variant if field not in keep]
    acting = selection if figure.group == "selection" else ""
    line = ", ".join(filter(None, [row.base, acting, in_words(named)]))
    return line, ", ".join(rest) if figure.x == "latency" else ""


def _panels(figure: Trend, tasks: Sequence[TaskSpec]) -> dict[str, str]:
    """The title of each task's panel; tasks that differ in nothing but `x` share one."""
    option = figure.x.removeprefix("task:")
    if option == figure.x:
        return {task.id: task.title for task in tasks}
    others = {
        task.id: {name: value for name, value in task_options(task).items() if name != option}
        for task in tasks
        if option in task_options(task)
    }
    values: dict[str, set[str]] = {}
    for found in others.values():
        for name, value in found.items():
            values.setdefault(name, set()).add(json.dumps(value))
    differing = [name for name, distinct in values.items() if len(distinct) > 1]
    return {
        task_id: in_words({name: value for name, value in found.items() if name in differing})
        for task_id, found in others.items()
    }
