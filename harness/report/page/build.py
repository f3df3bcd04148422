"""A suite's page: answer, tables, figures, runs, methods, data and provenance in one file."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.report.comparison import Comparison
from harness.report.curves import read_curves
from harness.report.gate import UNUSABLE
from harness.report.layout import MISSING, Grid, Text
from harness.report.notes import SMOKE, Notes
from harness.report.page.anchors import Anchors
from harness.report.page.answer import answers, averages_in_words
from harness.report.page.render import render
from harness.report.page.runs import costs, failures, in_words, runs_by_task
from harness.report.page.settings import (
    SettingDifference,
    Settings,
    differences,
    flatten,
    over_tasks,
    settings_by_cell,
)
from harness.report.records import Records, trained_on
from harness.report.section import Card
from harness.report.style import PNG_DPI, Drawing
from harness.runs.suite_file import RowInfo
from harness.tasks import words
from harness.tasks.spec import TaskSpec

SCREEN_DPI = 125
LEAST_DPI = 96  # text of 8 points is 10 pixels high; narrower screens scroll
NO_CARD = Card(absent="What was to be here could not be made; the notes under the scores say why.")
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")


def page(
    records: Records,
    comparison: Comparison,
    grids: Sequence[Grid],
    notes: Notes,
    drawings: Sequence[Drawing],
    cards: Mapping[str, Card],
) -> str:
    """The report as HTML text, with the PNG files of `drawings` and of the data's `cards` in it.

    The first drawing is the chart beside the answer. Links to run folders are relative to the
    suite's folder, where the page belongs.
    """
    suite, anchors = records.suite, Anchors(records.suite)
    cells = settings_by_cell(records)
    by_task = runs_by_task(records, comparison, cells, anchors)
    figures = [_figure(drawing) for drawing in drawings]
    chart = figures.pop(0) if figures else None
    if chart is not None:
        chart["alt"] = f"{chart['alt']} {averages_in_words(comparison)}"
    return render(
        "page.html",
        suite=suite,
        smoke=SMOKE,
        unusable=UNUSABLE,
        protocol=comparison.protocol,
        answers=[] if suite.smoke else answers(comparison, read_curves(records)),
        chart=chart,
        tables=[_table(grid, anchors) for grid in grids],
        notes=notes,
        figures=figures,
        states=in_words(sum((task.states for task in by_task), Counter[str]())),
        runs=by_task,
        in_words=in_words,
        failures=failures(records, anchors),
        costs=costs(records, comparison, anchors),
        methods=_methods(cells, comparison, anchors),
        tasks=[
            _task(records, task, cards.get(task.id, NO_CARD), anchors.tasks[task.id])
            for task in suite.tasks
        ],
        provenance=_provenance(records),
    )


@dataclass(frozen=True)
class Heading:
    """A column's or a row's name, and the id of the method or task that it is of, if any."""

    name: str
    target: str


@dataclass(frozen=True)
class TableRow:
    """A line of a table: its heading, and numbers with the ids of what they are of."""

    heading: Heading
    cells: list[tuple[Text, str]]
    summary: bool


@dataclass(frozen=True)
class LinkedTable:
    """A grid with its links."""

    title: str
    columns: list[Heading]
    lines: list[TableRow]


def _table(grid: Grid, anchors: Anchors) -> LinkedTable:
    columns = [Heading(grid.columns[0], "")]
    for index, name in enumerate(grid.columns[1:]):
        below = [row.texts[index] for row in grid.rows if not row.summary]
        columns.append(Heading(name, anchors.of_all(name, below)))
    lines = [
        TableRow(
            Heading(row.name, anchors.of_all(row.name, list(row.texts))),
            [(text, anchors.of(text)) for text in row.texts],
            row.summary,
        )
        for row in grid.rows
    ]
    return LinkedTable(grid.title, columns, lines)


@dataclass(frozen=True)
class Method:
    """A row of the comparison: what it is, in what it is not as the others, all of its settings."""

    id: str
    row: RowInfo
    paper: str  # address; empty if none is known
    unlike: list[SettingDifference]
    settings: list[tuple[str, str]]
    runs: list[tuple[str, str]]  # task and the id of its runs


def _methods(
    cells: Mapping[tuple[str, str], Settings], comparison: Comparison, anchors: Anchors
) -> list[Method]:
    rows = comparison.suite.rows
    settings = {row.label: over_tasks(cells, row.label) for row in rows}
    by_name = {label: dict(found) for label, found in settings.items()}
    return [
        Method(
            id=anchors.methods[row.label],
            row=row,
            paper=f"https://arxiv.org/abs/{arxiv[1]}"
            if (arxiv := _ARXIV.search(row.paper))
            else "",
            unlike=differences(row.label, rows, by_name),
            settings=settings[row.label],
            runs=[
                (task, anchors.cells[task, row.label])
                for task in comparison.tasks
                if (task, row.label) in anchors.cells
            ],
        )
        for row in rows
    ]


def _task(records: Records, task: TaskSpec, card: Card, anchor: str) -> dict[str, Any]:
    figure = _figure(card.drawing) if card.drawing else None
    return {
        "id": anchor,
        "spec": task,
        "rewards": words.rewards(task),
        "semantics": words.semantics(task),
        "source": words.source(task),
        "data": _data(records, task.id),
        "facts": card.facts,
        "absent": card.absent,
        "figure": figure,
    }


def _figure(drawing: Drawing) -> dict[str, Any]:
    """A drawing with its PNG files inlined; what it shows is said in place of them, too."""
    contents = [path.read_bytes() for path in drawing.files if path.suffix == ".png"]
    images = []
    for content in contents:
        # A PNG's header says how large it is; the page keeps the room free for it.
        width, height = (int.from_bytes(content[i : i + 4], "big") for i in (16, 20))
        images.append(
            {
                "source": "data:image/png;base64," + base64.b64encode(content).decode("ascii"),
                "width": f"{width * SCREEN_DPI / PNG_DPI:.0f}",
                "height": f"{height * SCREEN_DPI / PNG_DPI:.0f}",
                "least": f"{width * LEAST_DPI / PNG_DPI:.0f}",
            }
        )
    alt = f"{drawing.title}. {drawing.caption}"
    return {"title": drawing.title, "caption": drawing.caption, "alt": alt, "images": images}


def _data(records: Records, task: str) -> list[tuple[str, str]]:
    """What the task's runs recorded of the data they trained on."""
    paths = [run.path for run in records.suite.runs if run.task == task]
    found = [records.provenance[path] for path in paths if path in records.provenance]
    recorded = flatten(found[0].get("dataset", {})) if found else {}
    rows = [("packed rows sha256", value) for value in trained_on(records, task)]
    return rows + [(name, value) for name, value in recorded.items() if name != "sha256"]


def _provenance(records: Records) -> list[tuple[str, str]]:
    """Every recorded fact about code and machine; where runs differ, each value with its count."""
    facts = [
        flatten({key: value for key, value in found.items() if key not in {"dataset", "algorithm"}})
        for found in records.provenance.values()
    ]
    names = dict.fromkeys(name for fact in facts for name in fact)
    return [(name, _distinct(fact.get(name, MISSING) for fact in facts)) for name in names]


def _distinct(values: Iterable[str]) -> str:
    counts = Counter(values)
    if len(counts) == 1:
        return next(iter(counts))
    return "; ".join(f"{value} ({count} runs)" for value, count in counts.items())
