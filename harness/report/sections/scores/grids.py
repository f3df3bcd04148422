"""Grids of scores: tasks by algorithms as they are published, and averages with intervals.

Few algorithms: tasks are rows, algorithms columns. Many: algorithms are rows and the columns are
the tasks of one family at a time, so a table of 35 algorithms still fits a page.
"""

from __future__ import annotations

import math

from harness.report import stats
from harness.report.comparison import Comparison, Group
from harness.report.layout import MISSING, Grid, GridRow, Text, points

MAX_COLUMNS = 7
TERMINAL_COLUMNS = 4  # tasks side by side in 80 characters


def score_grids(comparison: Comparison) -> list[Grid]:
    """The score tables as they are published."""
    if len(comparison.labels) <= MAX_COLUMNS:
        return [_tasks_by_algorithms(comparison)]
    return algorithms_by_tasks(comparison, MAX_COLUMNS)


def terminal_grids(comparison: Comparison) -> list[Grid]:
    """The score tables with algorithms as rows, which fit a terminal."""
    grids = [summary_grid(comparison)]
    if len(comparison.tasks) > 1:
        grids = [*algorithms_by_tasks(comparison, TERMINAL_COLUMNS), *grids]
    return grids


def _tasks_by_algorithms(comparison: Comparison) -> Grid:
    rows, mark = [], comparison.scales.mark
    for family in comparison.families:
        for task in family.tasks:
            rows.append(GridRow(f"{task}{mark([task])}", _scores(comparison, task)))
        if len(family.tasks) > 1:
            name = f"Average ({family.name}){mark(family.tasks)}"
            rows.append(GridRow(name, _averages(comparison, family), True))
    if len(comparison.families) > 1:
        everything = comparison.everything
        name = f"Average ({everything.name}){mark(everything.tasks)}"
        rows.append(GridRow(name, _averages(comparison, everything), True))
    return Grid("Normalized score", ("Task", *comparison.labels), tuple(rows))


def algorithms_by_tasks(comparison: Comparison, max_columns: int) -> list[Grid]:
    """One or more grids per family, of at most `max_columns` tasks and the family's average."""
    grids, mark = [], comparison.scales.mark
    for family in comparison.families:
        count = len(family.tasks)
        per_grid = math.ceil(count / math.ceil(count / max_columns))
        for start in range(0, count, per_grid):
            tasks = family.tasks[start : start + per_grid]
            names = [f"{task.removeprefix(f'{family.name}/')}{mark([task])}" for task in tasks]
            columns = [_scores(comparison, task) for task in tasks]
            if count > 1 and tasks[-1] == family.tasks[-1]:
                names.append(f"Average{mark(family.tasks)}")
                columns.append(_averages(comparison, family))
            lines = zip(comparison.labels, zip(*columns, strict=True), strict=True)
            rows = tuple(GridRow(label, texts) for label, texts in lines)
            title = f"Normalized score on {family.name}"
            grids.append(Grid(title, ("Algorithm", *names), rows))
    return grids


def summary_grid(comparison: Comparison) -> Grid:
    """Averages over the whole suite with 95% intervals; with several tasks also the IQM."""
    tasks = comparison.tasks
    several = len(tasks) > 1
    strata = {
        label: scores
        for label in comparison.labels
        if (scores := comparison.strata(label, tasks)) is not None
    }
    leader = max(strata, key=lambda label: float(stats.average(strata[label])), default=None)
    columns = ["Algorithm", "Average" if several else "Score", "95% interval"]
    if several:
        columns += ["IQM", "95% interval of IQM"]
    if leader:
        columns.append(f"P({leader} better)")
    rows = [GridRow(label, (Text(MISSING),) * (len(columns) - 1)) for label in comparison.labels]
    best = comparison.best(tasks)
    for index, label in enumerate(comparison.labels):
        if leader is None or label not in strata:
            continue
        scores = strata[label]
        mark = comparison.mark(label, tasks)
        average = Text(points(float(stats.average(scores))), bold=label in best, mark=mark)
        texts = [
            average if several else _score(comparison, tasks[0], label, label in best),
            _interval(comparison.average_interval(label, tasks)),
        ]
        if several:
            texts += [
                Text(points(float(stats.interquartile_mean(scores)))),
                _interval(stats.bootstrap_interval(scores, stats.interquartile_mean)),
            ]
        chance = stats.probability_of_improvement(strata[leader], scores)
        texts.append(Text(MISSING if label == leader else f"{chance:.2f}"))
        rows[index] = GridRow(label, tuple(texts)).of(label=label, task="" if several else tasks[0])
    everything = f"{comparison.everything.name}{comparison.scales.mark(tasks)}"
    title = f"Average over {everything}" if several else f"Summary of {tasks[0]}"
    return Grid(title, tuple(columns), tuple(rows))


def _score(comparison: Comparison, task: str, label: str, bold: bool) -> Text:
    """`mean ± std`, `failed`, or a dash; with the seeds that count where some do not."""
    cell = comparison.cells[task, label]
    finished = len(cell.scores)
    if finished == 0:
        return Text("failed" if cell.failed else MISSING, task=task, label=label)
    note = f"{finished}/{cell.planned} seeds" if finished < cell.planned else ""
    spread = points(cell.std) if finished > 1 else ""
    mark = comparison.mark(label, [task])
    return Text(points(cell.mean), spread, note, bold, mark, task=task, label=label)


def _scores(comparison: Comparison, task: str) -> tuple[Text, ...]:
    best = comparison.best([task])
    return tuple(_score(comparison, task, label, label in best) for label in comparison.labels)


def _averages(comparison: Comparison, group: Group) -> tuple[Text, ...]:
    best = comparison.best(group.tasks)
    return tuple(_average(comparison, label, group, label in best) for label in comparison.labels)


def _average(comparison: Comparison, label: str, group: Group, bold: bool) -> Text:
    value = comparison.average(label, group.tasks)
    mark = comparison.mark(label, group.tasks) if value is not None else ""
    return Text(points(value), bold=bold, mark=mark, label=label)


def _interval(interval: stats.Interval) -> Text:
    if math.isnan(interval.low):
        return Text(MISSING)
    return Text(f"[{points(interval.low)}, {points(interval.high)}]")
