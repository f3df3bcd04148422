"""Grids of published scores beside the suite's own, one set a protocol, and of the verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from harness.published import UNKNOWN, ProtocolName
from harness.published.literature import other_data
from harness.report.comparison import Comparison
from harness.report.layout import MISSING, Grid, GridRow, Text, points
from harness.report.origins import origin_mark
from harness.report.sections.published.beside import Beside, ComparedMethod, TaskGroup
from harness.report.sections.published.reproduction import MARGIN, Reproduction, Verdict
from harness.runs.suite_file import SuiteFile

MOST_ROWS = 36  # of a grid on a printed page
_NOT_AT_HAND = Text(MISSING, note="not at hand")
_MEANINGS = {
    "last": "'last': the final evaluation",
    "best": "'best': the best evaluation seen, a choice by online returns",
    UNKNOWN: "'not stated': the source does not say; not to be ranked against others",
}


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


def published_csv(beside: Beside) -> pd.DataFrame:
    """One line per protocol, task and method: what is shown, the range of sources, and ours."""
    lines: list[dict[str, Any]] = []
    for protocol in beside.suite.published.protocols:
        for task in beside.tasks:
            for line in beside.lines(protocol):
                if facts := _facts(beside, task, line, protocol):
                    keys = {"protocol": protocol, "task": task, "algorithm": line.name}
                    lines.append({**keys, "method": line.method, **facts})
    counts = dict.fromkeys(("published_seeds", "published_steps", "sources", "seeds"), "Int64")
    columns = ["protocol", "task", "algorithm", "method", *_COLUMNS]
    return pd.DataFrame(lines, columns=columns).astype(counts)


def published_notes(beside: Beside) -> tuple[str, ...]:
    """What published numbers are, and which there are none of."""
    if not beside.tasks:
        return ()
    meanings = [_MEANINGS[name] for name in beside.suite.published.protocols if name in _MEANINGS]
    notes = [
        "Published: the number of the method's own paper, else CORL's, else another source's; "
        "published.csv names every source. '(a to b)': sources print from a to b, more than "
        f"{MARGIN:g} points apart. '(v0)': of D4RL's older data. Published scores of a table are "
        f"by one protocol ({'; '.join(meanings)}), ours by '{beside.comparison.protocol.name}'. "
        "Averages are of methods with a score on every task, whatever their sources. Ours: mean ± "
        "sd over seeds (ddof = 1); "
        f"'{MISSING}': not run. Sorted by the published average."
    ]
    absent = {method for task, method in beside.literature.not_at_hand if task in beside.tasks}
    rows = [row.label for row in beside.suite.rows if beside.method_of(row) in absent]
    if rows:
        notes.append(
            f"Not at hand: the published scores of {', '.join(rows)} (arXiv:2505.20350). Whoever "
            "has the paper can enter them in a CSV file that the suite names under `published`."
        )
    if without := _without(beside):
        notes.append(
            "Nothing published under these protocols and nothing run: " + ", ".join(without) + "."
        )
    if others := [task for task in beside.comparison.tasks if task not in beside.tasks]:
        notes.append(f"No published scores are collected of {', '.join(others)}.")
    return tuple(notes)


def verdict_grids(suite: SuiteFile, found: Sequence[Reproduction]) -> list[Grid]:
    """A grid a task: rows of the suite by difference, interval and verdict."""
    grids = []
    for task in dict.fromkeys(cell.task for cell in found):
        rows = [_verdict_row(suite, cell) for cell in found if cell.task == task]
        columns = ("Algorithm", "Published", "Ours", "Difference", "95% interval", "Verdict")
        grids.append(Grid(f"Reported against reproduced: {task}", columns, tuple(rows)))
    return grids


def _protocols(beside: Beside, published: ProtocolName) -> str:
    """By what published scores are, and ours where there are any and they are by another."""
    ours = beside.comparison.protocol.name
    are_there = any(len(cell.scores) for cell in beside.comparison.cells.values())
    other = f" (ours: '{ours}')" if are_there and ours != published else ""
    return f"{_protocol(published)}{other}"


def _protocol(name: ProtocolName) -> str:
    return "protocol not stated" if name == UNKNOWN else f"protocol '{name}'"


def _verdict_row(suite: SuiteFile, cell: Reproduction) -> GridRow:
    published, (low, high) = cell.published, cell.interval
    spread = points(published.spread) if published.spread is not None else ""
    seeds = len(cell.scores)
    sd = points(float(cell.scores.std(ddof=1))) if seeds > 1 else ""
    kind = "" if cell.is_point or published.spread_kind == "sd" else str(published.spread_kind)
    interval = f"[{low:+.1f}, {high:+.1f}]" if seeds > 1 else MISSING
    mark = origin_mark(suite, cell.label, [cell.task])
    return GridRow(
        cell.label,
        (
            Text(points(published.score), "" if cell.is_point else spread, note=kind),
            Text(points(float(cell.scores.mean())), sd, mark=mark),
            Text(f"{cell.difference:+.1f}", mark=mark),
            Text(interval),
            Text(
                str(cell.verdict),
                note=", ".join(cell.differs),
                bold=cell.verdict is Verdict.REPRODUCED,
            ),
        ),
    )


def _shown(beside: Beside, protocol: ProtocolName) -> list[ComparedMethod]:
    """The lines that have anything to show under a protocol."""
    return [line for line in beside.lines(protocol) if _has_any(beside, line, protocol)]


def _has_any(beside: Beside, line: ComparedMethod, protocol: ProtocolName) -> bool:
    """Whether there is a published number; the first protocol also has what lacks one."""
    first = protocol == beside.suite.published.protocols[0]
    absent = beside.literature.not_at_hand
    return any(
        beside.published(task, line, protocol)
        or (first and (beside.ours(task, line) or (task, line.method) in absent))
        for task in beside.tasks
    )


def _without(beside: Beside) -> list[str]:
    """The suite's rows that are in no table."""
    protocols = beside.suite.published.protocols
    lines = beside.lines(protocols[0])
    return [
        line.name
        for line in lines
        if line.label and not any(_has_any(beside, line, protocol) for protocol in protocols)
    ]


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


_COLUMNS = (
    *("published", "published_spread", "published_spread_kind", "published_seeds"),
    *("published_steps", "published_data", "published_action_selection", "standing", "source"),
    *("sources", "lowest", "lowest_source", "highest", "highest_source"),
    *("mean", "sd", "seeds", "our_protocol", "note"),
)


def _facts(
    beside: Beside, task: str, line: ComparedMethod, protocol: ProtocolName
) -> dict[str, Any]:
    """The columns of `published.csv` of a cell; empty where there is nothing to say."""
    facts: dict[str, Any] = {}
    if cell := beside.published(task, line, protocol):
        shown, lowest, highest = cell.shown, cell.lowest, cell.highest
        facts = {
            "published": shown.score,
            "published_spread": shown.spread,
            "published_spread_kind": shown.spread_kind,
            "published_seeds": shown.seeds,
            "published_steps": shown.steps,
            "published_data": shown.data,
            "published_action_selection": shown.action_selection,
            "standing": shown.standing,
            "source": shown.source,
            "sources": len(cell.scores),
            "lowest": lowest.score,
            "lowest_source": lowest.source,
            "highest": highest.score,
            "highest_source": highest.source,
            "note": shown.note,
        }
    elif (task, line.method) in beside.literature.not_at_hand:
        facts["note"] = "not at hand"
    if ours := beside.ours(task, line):
        scores = ours.scores
        sd = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
        name = beside.comparison.protocol.name
        facts |= {"mean": float(scores.mean()), "sd": sd, "seeds": len(scores)}
        facts |= {"our_protocol": name}
    return facts
