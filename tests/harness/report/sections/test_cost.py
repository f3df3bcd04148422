"""Scores against what they cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from harness.report.comparison import compare
from harness.report.records import read_records
from harness.report.sections import cost
from harness.report.sections.cost import Cost
from tests.harness.report.test_unranked import noisy

TASK = "pointmaze/umaze"
LABELS = ["df-div", "iql", "bc"]


def cost_of(suite: Any) -> Cost:
    records = read_records(suite.write())
    return Cost(records, compare(records))


def test_seconds_are_those_of_one_run_of_its_trial(make_suite: Callable[..., Any]) -> None:
    table = cost_of(make_suite(labels=LABELS)).tables()["costs"]
    assert table["train_seconds"].tolist() == pytest.approx([180.0 / 3] * 9)
    assert all(math.isnan(value) for value in table["decision_ms"])


def test_decisions_of_the_rows_own_selection_are_beside_them(
    make_suite: Callable[..., Any],
) -> None:
    decisions = {(TASK, "iql"): 0.25}
    entries = {label: {"action_selection": "noise-0"} for label in LABELS}
    table = cost_of(make_suite(labels=LABELS, decisions=decisions, entries=entries)).tables()
    found = table["costs"].groupby("label")["decision_ms"].mean()
    assert found["iql"] == 0.25
    assert math.isnan(found["bc"])


def test_an_unfinished_row_is_no_point_and_few_points_are_no_figure(
    make_suite: Callable[..., Any], tmp_path: Path
) -> None:
    [drawing] = cost_of(make_suite(labels=LABELS)).drawings(tmp_path)
    assert [path.name for path in drawing.files] == ["cost.png", "cost.pdf"]
    assert "Some CPU @ 2.0 GHz" in drawing.caption
    states = {(TASK, "bc", seed): "running" for seed in range(3)}
    section = cost_of(make_suite(name="two", labels=LABELS, states=states))
    assert section.drawings(tmp_path) == []
    assert set(section.tables()["costs"]["label"]) == {"df-div", "iql"}


def test_a_point_has_the_cost_of_the_tasks_that_its_score_is_of(
    make_suite: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "gym/mixed"
    decisions = {(task, label): ms for label in LABELS for task, ms in ((TASK, 1.0), (other, 99.0))}
    section = cost_of(
        make_suite(
            tasks=[TASK, other],
            labels=LABELS,
            specs={other: noisy(other)},
            decisions=decisions,
            entries={label: {"action_selection": "noise-0"} for label in LABELS},
        )
    )
    drawn: list[pd.DataFrame] = []

    def figure(_: Cost, __: object, costs: pd.DataFrame) -> tuple[Figure, list[str]]:
        drawn.append(costs)
        return Figure(), []

    monkeypatch.setattr(cost, "_figure", figure)
    section.drawings(tmp_path)
    assert drawn[0]["decision_ms"].tolist() == [1.0] * 3


def test_a_point_that_there_is_no_room_to_name_is_told_in_the_caption(
    make_suite: Callable[..., Any], tmp_path: Path
) -> None:
    long = "x" * 150
    final = {(TASK, long): [50.0] * 3}
    [drawing] = cost_of(make_suite(labels=["df-div", "iql", long], final=final)).drawings(tmp_path)
    assert f"Without a name for want of room: {long} (60 s, score 50.0)." in drawing.caption
