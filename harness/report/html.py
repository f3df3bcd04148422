"""The one-page HTML report: self-contained, without scripts, the images inlined."""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.report.comparison import Comparison
from harness.report.gate import UNUSABLE
from harness.report.layout import MISSING, Grid
from harness.report.notes import SMOKE, Notes
from harness.report.records import Records, trained_on
from harness.report.section import Card
from harness.report.style import PNG_DPI, Drawing
from harness.tasks import words
from harness.tasks.spec import TaskSpec

SCREEN_DPI = 125
NO_CARD = Card(absent="What was to be here could not be made; the notes under the scores say why.")
ALL_RUNS_SHOWN = 60  # longer lists of runs start folded


def page(
    records: Records,
    comparison: Comparison,
    grids: Sequence[Grid],
    notes: Notes,
    drawings: Sequence[Drawing],
    cards: Mapping[str, Card],
) -> str:
    """The report as HTML text, with the PNG files of `drawings` and of the data's `cards` in it."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    runs = _runs(records, comparison)
    return environment.get_template("report.html").render(
        suite=records.suite,
        smoke=SMOKE,
        unusable=UNUSABLE,
        grids=grids,
        notes=notes,
        figures=[_figure(drawing) for drawing in drawings],
        runs=runs,
        states=Counter(run["state"] for run in runs),
        failed=[run for run in runs if run["error"] or run["state"] == "failed"],
        fold_runs=len(runs) > ALL_RUNS_SHOWN,
        algorithms=[
            {"row": row, "settings": _settings(records, row.label)} for row in records.suite.rows
        ],
        tasks=[_task(records, task, cards.get(task.id, NO_CARD)) for task in records.suite.tasks],
        provenance=_provenance(records),
    )


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as `outer.inner: value`; leaves are printed as JSON, strings bare."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value)
    return flat


def _task(records: Records, task: TaskSpec, card: Card) -> dict[str, Any]:
    return {
        "spec": task,
        "rewards": words.rewards(task),
        "semantics": words.semantics(task),
        "source": words.source(task),
        "data": _data(records, task.id),
        "card": _shown(card),
    }


def _figure(drawing: Drawing) -> dict[str, Any]:
    return {"title": drawing.title, "caption": drawing.caption, "images": _images(drawing)}


def _shown(card: Card) -> dict[str, Any]:
    figure = _figure(card.drawing) if card.drawing else None
    return {"facts": card.facts, "absent": card.absent, "figure": figure}


def _images(drawing: Drawing) -> list[dict[str, str]]:
    contents = [path.read_bytes() for path in drawing.files if path.suffix == ".png"]
    widths = [int.from_bytes(content[16:20], "big") for content in contents]  # a PNG's header
    return [
        {
            "source": "data:image/png;base64," + base64.b64encode(content).decode("ascii"),
            "width": f"{width * SCREEN_DPI / PNG_DPI:.0f}",
        }
        for content, width in zip(contents, widths, strict=True)
    ]


def _runs(records: Records, comparison: Comparison) -> list[dict[str, str]]:
    """One printed line a planned run, in the suite's order."""
    table = records.runs.assign(score=comparison.scores["score"].to_numpy())
    return [
        {
            "task": run["task"],
            "label": run["label"],
            "seed": str(run["seed"]),
            "state": run["state"],
            "step": _number(run["step"], ",.0f"),
            "score": _number(run["score"], ".1f"),
            "wall": _number(run["wall_seconds"], ",.0f"),
            "speed": _number(run["steps_per_second"], ",.0f"),
            "latency": _number(run["amortized_action_ms"], ".3f"),
            "error": run["error"] if isinstance(run["error"], str) else "",
        }
        for run in table.to_dict("records")
    ]


def _settings(records: Records, label: str) -> list[tuple[str, str]]:
    """The label's resolved configuration; a setting that tasks differ in lists their values."""
    paths = {(run.task, run.path) for run in records.suite.runs if run.label == label}
    by_task = {
        task: flatten(records.specs[path]["config"]) | _code(records, path)
        for task, path in sorted(paths)
        if path in records.specs
    }
    names = dict.fromkeys(name for settings in by_task.values() for name in settings)
    rows = []
    for name in names:
        values = {task: settings.get(name, MISSING) for task, settings in by_task.items()}
        common, *others = dict.fromkeys(values.values())
        each = "; ".join(f"{task}: {value}" for task, value in values.items())
        rows.append((name, each if others else common))
    return rows


def _code(records: Records, path: str) -> dict[str, str]:
    """What a run recorded of its method's code."""
    return flatten(records.provenance.get(path, {}).get("algorithm", {}), "method.")


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


def _number(value: float | None, style: str) -> str:
    return MISSING if value is None or math.isnan(value) else format(value, style)
