"""Grids of published scores beside the suite's own, one set a protocol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean

from harness.published import UNKNOWN, ProtocolName
from harness.published.literature import other_data
from harness.report.comparison import Comparison
from harness.report.layout import MISSING, Grid, GridRow, Text, points
from harness.report.origins import origin_mark
from harness.report.sections.published.beside import Beside, ComparedMethod, TaskGroup
from harness.report.sections.published.reproduction import MARGIN

MOST_ROWS = 36  # of a grid on a printed page
_NOT_AT_HAND = Text(MISSING, note="not at hand")


def published_grids(beside: Beside) -> list[Grid]:
    """A grid a protocol and group of tasks, and one of averages a protocol and family.

    Where there are more methods than fit a page, others than the suite's have grids of their own.
    """
    grids: list[Grid] = []
    for protocol in beside.suite.published.protocols:
        lines = _shown(beside, protocol)
        subjects = [("", lines)]
        if len(lines) > MOST_ROWS:
            own = [line for line in lines if line.label]
            others = [line for line in lines if not line.label]
            subjects = [(", methods of the suite", own), (", other methods", others)]
        for whose, those in subjects:
            grids += _grids(beside, those, protocol, f"{_protocols(beside, protocol)}{whose}")
    return [grid for grid in grids if grid.rows]


def _grids(
    beside: Beside, lines: list[ComparedMethod], protocol: ProtocolName, subject: str
) -> Iterator[Grid]:
    """Every grid of some methods under a protocol; `subject` says in titles which these are."""
    for family in beside.families:
        for group in beside.groups:
            if group.family == family.family:
                title = f"Published and ours on {group.name}, {subject}"
                yield _scores(beside, title, group.tasks, lines, protocol)
        if len(family.tasks) > 1:
            title, parts = f"Averages on {family.name}, {subject}", _parts(beside, family)
            yield _average_grid(beside, title, parts, lines, protocol)
    if len(beside.families) > 1:
        title = f"Averages over all {len(beside.tasks)} tasks, {subject}"
        yield _average_grid(beside, title, [("all", tuple(beside.tasks))], lines, protocol)


def terminal_averages(comparison: Comparison) -> list[Grid]:
    """What is published, on average, in as many columns as fit a terminal."""
    beside = Beside(comparison)
    grids = []
    for protocol in beside.suite.published.protocols:
        for family in beside.families:
            title = f"Published averages on {family.name}, {_protocol(protocol)}"
            parts, lines = _parts(beside, family), beside.lines(protocol)
            grids.append(_average_grid(beside, title, parts, lines, protocol, ours=False))
    return [grid for grid in grids if grid.rows]


def _protocols(beside: Beside, published: ProtocolName) -> str:
    """By what published scores are, and ours where there are any and they are by another."""
    ours = beside.comparison.protocol.name
    are_there = any(len(cell.scores) for cell in beside.comparison.cells.values())
    other = f" (ours: '{ours}')" if are_there and ours != published else ""
    return f"{_protocol(published)}{other}"


def _protocol(name: ProtocolName) -> str:
    return "protocol not stated" if name == UNKNOWN else f"protocol '{name}'"


def _shown(beside: Beside, protocol: ProtocolName) -> list[ComparedMethod]:
    """The lines that have anything to show under a protocol."""
    return [line for line in beside.lines(protocol) if beside.has_any(line, protocol)]


def _scores(
    beside: Beside,
    title: str,
    tasks: Sequence[str],
    lines: list[ComparedMethod],
    protocol: ProtocolName,
) -> Grid:
    """Some tasks, published and ours side by side."""
    columns = [f"{task.split('/')[1]}/{side}" for task in tasks for side in ("published", "ours")]
    rows = []
    for line in _ranked(beside, tasks, lines, protocol):
        texts = []
        for task in tasks:
            texts.append(_published_text(beside, task, line, protocol))
            texts.append(_our_text(beside, task, line))
        rows.append(GridRow(line.name, tuple(texts)))
    return Grid(title, ("Method", *columns), _with_content(rows))


def _parts(beside: Beside, family: TaskGroup) -> list[tuple[str, tuple[str, ...]]]:
    """What a family is averaged over: its levels, if it has several, and all of it."""
    levels = [group for group in beside.groups if group.family == family.family and group.level]
    parts = [(group.level, group.tasks) for group in levels if len(levels) > 1]
    return [*parts, (f"all {len(family.tasks)}", family.tasks)]


def _average_grid(
    beside: Beside,
    title: str,
    parts: Sequence[tuple[str, tuple[str, ...]]],
    lines: list[ComparedMethod],
    protocol: ProtocolName,
    *,
    ours: bool = True,
) -> Grid:
    """Averages over parts of the tasks, each with its name; `ours`: also the suite's own."""
    columns = ["Method"]
    for name, _ in parts:
        columns += [f"{name}/published", f"{name}/ours"] if ours else [name]
    rows = []
    for line in _ranked(beside, parts[-1][1], lines, protocol):
        texts = []
        for _, tasks in parts:
            texts.append(Text(points(_published_average(beside, tasks, line, protocol))))
            if ours:
                texts.append(_our_average_text(beside, tasks, line))
        rows.append(GridRow(line.name, tuple(texts)))
    return Grid(title, tuple(columns), _with_content(rows))


def _with_content(rows: Iterable[GridRow]) -> tuple[GridRow, ...]:
    """The rows that have a number, or say why not."""
    return tuple(row for row in rows if any(text != Text(MISSING) for text in row.texts))


def _ranked(
    beside: Beside, tasks: Sequence[str], lines: Iterable[ComparedMethod], protocol: ProtocolName
) -> list[ComparedMethod]:
    """Best published average first, then those that lack a task, then those that lack all."""

    def key(line: ComparedMethod) -> tuple[bool, int, float]:
        values = _published_values(beside, tasks, line, protocol)
        mean = fmean(values) if values else 0.0
        return (not values, len(values) < len(tasks), -mean)

    return sorted(lines, key=key)


def _published_values(
    beside: Beside, tasks: Sequence[str], line: ComparedMethod, protocol: ProtocolName
) -> list[float]:
    cells = (beside.published(task, line, protocol) for task in tasks)
    return [cell.value for cell in cells if cell is not None]


def _published_average(
    beside: Beside, tasks: Sequence[str], line: ComparedMethod, protocol: ProtocolName
) -> float | None:
    values = _published_values(beside, tasks, line, protocol)
    return fmean(values) if len(values) == len(tasks) else None


def _our_average(beside: Beside, tasks: Sequence[str], line: ComparedMethod) -> float | None:
    return beside.comparison.average(line.label, tasks) if line.label else None


def _our_average_text(beside: Beside, tasks: Sequence[str], line: ComparedMethod) -> Text:
    average = _our_average(beside, tasks, line)
    if line.label is None or average is None:
        return Text(MISSING)
    return Text(points(average), mark=origin_mark(beside.suite, line.label, tasks))


def _published_text(
    beside: Beside, task: str, line: ComparedMethod, protocol: ProtocolName
) -> Text:
    cell = beside.published(task, line, protocol)
    if cell is None:
        absent = (task, line.method) in beside.literature.not_at_hand
        return _NOT_AT_HAND if absent else Text(MISSING)
    said = []
    if other_data(cell.shown):
        said.append(cell.shown.data)
    if cell.width > MARGIN:
        said.append(f"{points(cell.lowest.score)} to {points(cell.highest.score)}")
    return Text(points(cell.value), note=", ".join(said))


def _our_text(beside: Beside, task: str, line: ComparedMethod) -> Text:
    cell = beside.ours(task, line)
    if cell is None:
        return Text(MISSING)
    seeds = len(cell.scores)
    spread = points(float(cell.scores.std(ddof=1))) if seeds > 1 else ""
    note = f"{seeds}/{cell.planned} seeds" if seeds < cell.planned else ""
    mark = origin_mark(beside.suite, line.label, [task]) if line.label else ""
    return Text(points(float(cell.scores.mean())), spread, note, mark=mark)
