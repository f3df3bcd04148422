"""The heat map of scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from harness.report.comparison import compare
from harness.report.records import read_records
from harness.report.sections.overview import Overview

TASKS = ["gym/a", "gym/b", "gym/c", "maze/d"]
LABELS = ["df-dir", "iql", "bc", "fql", "td3-bc"]


def test_it_shows_every_score_and_the_mean_of_families(
    make_suite: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(
        "harness.report.sections.overview.save", lambda figure, path: drawn.append(figure) or [path]
    )
    levels = {"iql": 70.0, "df-dir": 60.0, "fql": 50.0, "td3-bc": 40.0, "bc": 30.0}
    final = {(t, b): [levels[b] + 3 * i] * 3 for i, t in enumerate(TASKS) for b in LABELS}
    states = {("gym/b", "bc", seed): "failed" for seed in range(3)}
    entries = {"fql": {"tasks": ["gym/a", "gym/b", "gym/c"]}}
    suite = make_suite(tasks=TASKS, labels=LABELS, final=final, states=states, entries=entries)
    records = read_records(suite.write())
    [_] = Overview(records, compare(records)).drawings(tmp_path)
    axes = drawn[0].axes[0]
    whole, in_part = ["iql", "df-dir", "td3-bc"], ["fql", "bc"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [*whole, *in_part]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert [cells[column, 0] for column in range(5)] == ["70", "73", "76", "73", "79"]
    assert [cells[column, 4] for column in range(5)] == ["30", "–", "36", "–", "39"]
    assert (4, 3) not in cells  # fql is not planned there


def test_a_small_suite_has_none(make_suite: Callable[..., Any], tmp_path: Path) -> None:
    records = read_records(make_suite(tasks=TASKS[:3], labels=LABELS).write())
    assert Overview(records, compare(records)).drawings(tmp_path) == []
