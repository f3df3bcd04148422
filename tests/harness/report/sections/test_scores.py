"""The chart of averages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from harness.report.comparison import compare
from harness.report.records import read_records
from harness.report.sections.scores.bars import average_bars

TASKS = ["gym/a", "maze/b"]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []
    monkeypatch.setattr(
        "harness.report.sections.scores.bars.save",
        lambda figure, path: (figures.append(figure), [path])[1],
    )
    return figures


def test_panels_share_an_order_and_rows_without_any_bar_are_counted(
    make_suite: Callable[..., Any], tmp_path: Path, drawn: list[Figure]
) -> None:
    levels = {"bc": (50.0, 10.0), "iql": (20.0, 60.0), "fql": (30.0, 0.0)}
    final = {
        (task, label): [scores[i]] * 3
        for label, scores in levels.items()
        for i, task in enumerate(TASKS)
    }
    states = {(task, "td3-bc", seed): "missing" for task in TASKS for seed in range(3)}
    states |= {("maze/b", "fql", seed): "failed" for seed in range(3)}
    suite = make_suite(tasks=TASKS, labels=[*levels, "td3-bc"], final=final, states=states)
    average_bars(compare(read_records(suite.write())), tmp_path)
    everything, first, second = drawn[0].axes
    names = [tick.get_text() for tick in everything.get_yticklabels()]
    assert names == ["fql", "bc", "iql"]  # from the bottom; bc and iql average 30 and 40
    for axes, widths in ((everything, [30, 40]), (first, [30, 50, 20]), (second, [10, 60])):
        assert [bar.get_width() for bar in axes.patches] == pytest.approx(widths)
    assert "– (incomplete)" in [text.get_text() for text in second.texts]
    assert "left out: 1 " in drawn[0].get_supxlabel()


def test_a_number_stands_right_of_all_that_is_drawn_of_its_row(
    make_suite: Callable[..., Any], tmp_path: Path, drawn: list[Figure]
) -> None:
    """Also of a seed that lies beyond the interval."""
    final = {("gym/a", "bc"): [0.0, 0.0, 0.0, 0.0, 0.0, 100.0], ("gym/a", "iql"): [9.0] * 6}
    suite = make_suite(tasks=["gym/a"], labels=["bc", "iql"], final=final, seeds=[*range(6)])
    average_bars(compare(read_records(suite.write())), tmp_path)
    [axes] = drawn[0].axes
    numbers = {text.get_text(): text.xy[0] for text in axes.texts}  # type: ignore[attr-defined]
    assert numbers == pytest.approx({"16.7": 100.0, "9.0": 9.0})
