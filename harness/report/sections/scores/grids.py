"""Grids of scores: as they are published, on average, and against the suite's reference.

What there is more of, methods or tasks, is the rows. Methods stand best first. More methods than
fit a page as columns are rows too, and the columns are the tasks of one family at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

from harness.report.comparison import ALPHA, Comparison
from harness.report.layout import MAX_COLUMNS, MISSING, Grid, GridRow, Text, points, split
from harness.statistics.intervals import Interval
from harness.statistics.paired import FEWEST_PAIRS

TERMINAL_COLUMNS = 4  # tasks side by side in 80 characters
EPISODE_MARK = "°"
MOST = 0.5  # of the variance over seeds

Write = Callable[[str, tuple[str, ...]], Text]  # what a label has on some tasks


def score_grids(comparison: Comparison) -> list[Grid]:
    """The score tables as they are published."""
    return _in_shape(comparison, comparison.score_name, _scores(comparison))


def difference_grids(comparison: Comparison) -> list[Grid]:
    """The score tables again, as differences to the reference; none if the suite has none."""
    reference = comparison.reference
    if reference is None or len(comparison.labels) == 1:
        return []
    title = f"Differences to {reference}, paired by seed"
    return _in_shape(comparison, title, _differences(comparison), without=reference)


def terminal_grids(comparison: Comparison) -> list[Grid]:
    """The score tables with methods as rows, which fit a terminal."""
    grids = [summary_grid(comparison)] if comparison.ranking else []
    if len(comparison.tasks) > 1 or not grids:
        by_task = _methods_by_tasks(
            comparison, comparison.score_name, _scores(comparison), "", TERMINAL_COLUMNS
        )
        grids = [*by_task, *grids]
    return grids


def summary_grid(comparison: Comparison) -> Grid:
    """Averages over all ranked tasks with 95% intervals and differences to the reference."""
    tasks = comparison.everything.tasks
    several = len(tasks) > 1
    columns = ["Algorithm", "Average" if several else "Score", "95% interval"]
    written = [_scores(comparison), lambda *cell: _interval(comparison.average_interval(*cell))]
    if comparison.reference is not None:
        columns.append(f"Minus {comparison.reference}")
        written.append(_differences(comparison))
    rows = tuple(
        GridRow(_name(comparison, label), tuple(write(label, tasks) for write in written)).of(
            label=label, task="" if several else tasks[0]
        )
        for label in comparison.ranked(tasks)
    )
    everything = f"{comparison.everything.name}{comparison.scales.mark(tasks)}"
    title = f"Average over {everything}" if several else f"Summary of {tasks[0]}"
    title += comparison.chosen_online
    return Grid(title, tuple(columns), rows)


def _in_shape(comparison: Comparison, title: str, write: Write, without: str = "") -> list[Grid]:
    """Tables of what `write` says, with methods as rows or columns, all but one if it is named."""
    methods = len(comparison.labels)
    if methods > len(comparison.tasks) or methods > MAX_COLUMNS:
        return _methods_by_tasks(comparison, title, write, without, MAX_COLUMNS)
    return [_tasks_by_methods(comparison, title, write, without)]


def _tasks_by_methods(comparison: Comparison, title: str, write: Write, without: str) -> Grid:
    rows, mark = [], comparison.scales.mark
    labels = [label for label in comparison.ranked(comparison.tasks) if label != without]

    def add(name: str, tasks: tuple[str, ...], summary: bool) -> None:
        texts = tuple(write(label, tasks) for label in labels)
        rows.append(GridRow(f"{name}{mark(tasks)}", texts, summary))

    for family in comparison.families:
        for task in family.tasks:
            add(task, (task,), False)
        if family in comparison.averaged:
            add(f"Average ({family.name})", family.tasks, True)
    if comparison.everything in comparison.averaged:
        add(f"Average ({comparison.everything.name})", comparison.everything.tasks, True)
    return Grid(title, ("Task", *(_name(comparison, label) for label in labels)), tuple(rows))


def _methods_by_tasks(
    comparison: Comparison, title: str, write: Write, without: str, max_columns: int
) -> list[Grid]:
    """One or more grids per family, of at most `max_columns` tasks and the family's average."""
    grids, mark = [], comparison.scales.mark
    for family in comparison.families:
        labels = [label for label in comparison.ranked(family.tasks) if label != without]
        for tasks in split(family.tasks, max_columns):
            columns: list[tuple[str, tuple[str, ...]]] = [
                (task.removeprefix(f"{family.name}/"), (task,)) for task in tasks
            ]
            if family in comparison.averaged and tasks[-1] == family.tasks[-1]:
                columns.append(("Average", family.tasks))
            rows = tuple(
                GridRow(
                    _name(comparison, label), tuple(write(label, column) for _, column in columns)
                )
                for label in labels
            )
            names = [f"{name}{mark(column)}" for name, column in columns]
            grids.append(Grid(f"{title} on {family.name}", ("Algorithm", *names), rows))
    return grids


def _name(comparison: Comparison, label: str) -> str:
    return f"{label} (reference)" if label == comparison.reference else label


def _scores(comparison: Comparison) -> Write:
    """A task's cell, or an average over several tasks."""
    best = cache(comparison.best)  # of a line, and asked for once per label

    def write(label: str, tasks: tuple[str, ...]) -> Text:
        bold = label in best(tasks)
        if len(tasks) == 1:
            return _cell(comparison, tasks[0], label, bold)
        value = comparison.average(label, tasks)
        mark = comparison.mark(label, tasks) if value is not None else ""
        return Text(points(value), bold=bold, mark=mark, label=label)

    return write


def _cell(comparison: Comparison, task: str, label: str, bold: bool) -> Text:
    """`mean ± std`, `failed`, or a dash; with the seeds that count where some do not."""
    cell = comparison.cells[task, label]
    finished = len(cell.scores)
    if finished == 0:
        return Text("failed" if cell.failed else MISSING, task=task, label=label)
    note = f"{finished}/{cell.planned} seeds" if finished < cell.planned else ""
    noisy = EPISODE_MARK if cell.episode_share >= MOST else ""
    spread = f"{points(cell.std)}{noisy}" if finished > 1 else ""
    mark = comparison.mark(label, [task])
    return Text(points(cell.mean), spread, note, bold, mark, task=task, label=label)


def _differences(comparison: Comparison) -> Write:
    """`difference ± half of its interval (p)`; bold where the reference is told apart."""

    def write(label: str, tasks: tuple[str, ...]) -> Text:
        found = comparison.to_reference.get((tasks, label))
        if found is None:
            return Text(MISSING)
        difference, p = found
        value = points(difference.mean)
        if math.isnan(p):
            return Text(value, note="1 pair")
        half = points(difference.interval.high - difference.mean)
        told_apart = p < ALPHA and difference.pairs >= FEWEST_PAIRS
        shown = f"p {p:.3f}" if p >= 0.001 else "p < 0.001"
        mark = comparison.mark(label, tasks)
        return Text(value, half, shown, told_apart, mark, label=label)

    return write


def _interval(interval: Interval) -> Text:
    if math.isnan(interval.low):
        return Text(MISSING)
    return Text(f"[{points(interval.low)}, {points(interval.high)}]")
