from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

import pytest

from harness.report import build_report
from harness.report.action_selections import describe, selections_in_order
from harness.report.comparison import compare
from harness.report.curves import read_curves
from harness.report.gate import MARK
from harness.report.notes import write_notes
from harness.report.records import read_records
from harness.report.sections.actions import action_grids

TASK = "pointmaze/umaze"
LABELS = ["iql", "ifql", "bc"]
SETTINGS: dict[str, Any] = {
    "labels": LABELS,
    "entries": {
        "iql": {"action_selection": "noise-0"},
        "ifql": {"action_selection": "best-of-32"},
        "bc": {"action_selection": "noise-1", "trusts_critic": False},
    },
    "final": {(TASK, "iql"): [70.0, 71.0, 72.0], (TASK, "ifql"): [30.0, 30.0, 30.0]},
    "selections": {
        (TASK, "iql"): {"noise-1": [50.0, 52.0, 54.0]},
        (TASK, "ifql"): {"noise-1": [40.0, 42.0, 44.0], "best-of-4": [30.0, 31.0, 32.0]},
    },
}


def test_scores_and_curves_are_by_the_own_action_selection(make_suite: Callable[..., Any]) -> None:
    records = read_records(make_suite(**SETTINGS).write())
    comparison = compare(records)
    assert comparison.cells[TASK, "iql"].scores == pytest.approx([70, 71, 72])
    assert read_curves(records)[TASK, "iql"].scores[:, -1] == pytest.approx([70, 71, 72])
    assert records.runs["amortized_action_ms"][0] == pytest.approx(0.4)


def test_the_grid_shows_every_selection_and_which_is_a_methods_own(
    make_suite: Callable[..., Any],
) -> None:
    [grid] = action_grids(compare(read_records(make_suite(**SETTINGS).write())))
    assert grid.columns == ("Algorithm", "noise-0", "noise-1", "best-of-4", "best-of-32")
    rows = {row.name: [str(text) for text in row.texts] for row in grid.rows}
    assert rows["iql"] == ["71.0† ± 1.0 (its own)", "52.0† ± 2.0", "–", "–"]
    assert rows["ifql"] == ["–", "42.0 ± 2.0", "31.0† ± 1.0", "30.0† ± 0.0 (its own)"]
    assert rows["bc"][1].endswith("(its own)")
    assert MARK not in rows["bc"][1]  # neither cloning nor the probe's own cloning trusts a critic


def test_methods_stand_in_order_of_their_scores(make_suite: Callable[..., Any]) -> None:
    final = {(TASK, "iql"): [10.0] * 3, (TASK, "ifql"): [30.0] * 3, (TASK, "bc"): [20.0] * 3}
    suite = make_suite(**SETTINGS | {"final": final})
    [grid] = action_grids(compare(read_records(suite.write())))
    assert [row.name for row in grid.rows] == ["ifql", "bc", "iql"]


def test_selections_stand_in_order_of_how_much_they_choose() -> None:
    found = selections_in_order(
        ["best-of-4", "softmax-of-32", "noise-1", "softmax-of-4", "noise-0"]
    )
    assert found == ["noise-0", "noise-1", "softmax-of-4", "softmax-of-32", "best-of-4"]
    words = "of 32 samples one drawn by the softmax of their critic values"
    assert describe("softmax-of-32") == words


def test_without_other_selections_there_is_no_grid(make_suite: Callable[..., Any]) -> None:
    suite = make_suite(**SETTINGS | {"selections": {}})
    assert action_grids(compare(read_records(suite.write()))) == []


def test_the_csv_has_a_line_a_selection_in_full_precision(make_suite: Callable[..., Any]) -> None:
    report = build_report(make_suite(**SETTINGS).write())
    with (report.paths.csv.parent / "action_selections.csv").open(newline="") as file:
        rows = {(row["algorithm"], row["action_selection"]): row for row in csv.DictReader(file)}
    assert len(rows) == 6
    assert float(rows["iql", "noise-1"]["std"]) == pytest.approx(2.0, rel=1e-12)
    assert (rows["iql", "noise-0"]["own"], rows["iql", "noise-1"]["own"]) == ("True", "False")
    assert rows["ifql", "noise-1"]["critic_usable"] == ""


def test_every_table_says_how_its_actions_were_chosen(make_suite: Callable[..., Any]) -> None:
    report = build_report(make_suite(**SETTINGS).write())
    note = report.notes.action_selection
    assert "noise-0 (without noise: a Gaussian's mean, a flow started from zero): iql" in note
    assert "best-of-32 (of 32 samples the one with the largest critic value): ifql" in note
    assert note in report.paths.markdown.read_text()
    with report.paths.csv.open(newline="") as file:
        found = {row["algorithm"]: row["action_selection"] for row in csv.DictReader(file)}
    assert found == {"iql": "noise-0", "ifql": "best-of-32", "bc": "noise-1"}


def test_results_from_before_selections_were_recorded_are_read_as_they_were(
    make_suite: Callable[..., Any],
) -> None:
    comparison = compare(read_records(make_suite(labels=["iql"]).write()))
    assert len(comparison.cells[TASK, "iql"].scores) == 3
    assert write_notes(comparison).action_selection == ""
    assert action_grids(comparison) == []
