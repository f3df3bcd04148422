"""Scores of runs that earlier code of their method made: every table marks them, a note says so."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.report import build_report, render_terminal

EASY, HARD = "pointmaze/umaze", "pointmaze/large"
WAYS = {(task, label): {"noise-0": [70.0] * 3} for task in (EASY, HARD) for label in ("iql", "bc")}
TABLE = {"kind": "table", "title": "More", "values": ["score", "latency"]}


@pytest.fixture
def report_of(make_suite: Callable[..., Any]) -> Callable[[str], tuple[Any, Path]]:
    def report(label: str) -> tuple[Any, Path]:
        """The report of a suite in which a label's first run on the easy task was kept."""
        entries = {name: {"action_selection": "noise-1"} for name in ("iql", "bc")}
        suite = make_suite(
            tasks=[EASY, HARD],
            labels=["iql", "bc"],
            entries=entries,
            figures=[TABLE],
            selections=WAYS,
        )
        folder = suite.write()
        content = json.loads((folder / "suite.json").read_text())
        for run in content["runs"]:
            run["kept"] = (run["task"], run["label"], run["seed"]) == (EASY, label, 0)
        (folder / "suite.json").write_text(json.dumps(content))
        return build_report(folder), folder

    return report


def test_every_table_marks_what_earlier_code_made(
    report_of: Callable[[str], tuple[Any, Path]],
) -> None:
    report, folder = report_of("iql")
    note = "¶: made by earlier code of this method, all or some of the runs: iql."
    text = (folder / "table.md").read_text()
    assert note in text
    assert note in (folder / "report.html").read_text()
    assert r"\P{}" in (folder / "table.tex").read_text()
    grids = [part for part in text.split("\n\n") if part.startswith("|")]
    marked = [[line for line in grid.splitlines() if "¶" in line] for grid in grids]
    scores, summary, easy, hard, more_easy, more_hard = marked
    assert [line.split(" | ")[0] for line in scores] == [f"| {EASY}", "| **Average (pointmaze)**"]
    assert all(line.index("¶") < line.rindex(" | ") for line in scores)  # iql is the first column
    assert [line.split(" | ")[0] for line in summary] == ["| iql"]
    assert [line.split(" | ")[0] for line in easy + more_easy] == ["| iql¶"] * 2
    assert hard + more_hard == []
    console = Console(width=200, file=io.StringIO())
    with console.capture() as printed:
        console.print(render_terminal(report))
    assert note in printed.get()
    assert printed.get().count("¶") == 4  # score and averages, and what the mark says
    kept = [line for line in (folder / "scores.csv").read_text().splitlines() if "earlier" in line]
    assert [line.split(",")[:3] for line in kept] == [[EASY, "iql", "0"]]


def test_without_such_runs_nothing_is_marked(
    report_of: Callable[[str], tuple[Any, Path]],
) -> None:
    _, folder = report_of("nobody")
    for name in ("table.md", "report.html", "scores.csv"):
        text = (folder / name).read_text()
        assert "¶" not in text
        assert "earlier code" not in text
