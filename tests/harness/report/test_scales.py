"""Scores on different scales are told apart wherever they stand in one column."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.report import build_report
from harness.tasks import get_task


@pytest.mark.parametrize(
    ("task", "scale"),
    [
        ("gym/hopper/medium", "d4rl"),
        ("adroit/pen/human", "d4rl"),
        ("maze2d/umaze", "d4rl"),
        ("local/pen/mixed", "d4rl"),
        ("pointmaze/umaze", "as-shipped"),
        ("minari/pointmaze/umaze", "as-shipped"),
        ("multimodal/modes-8-dim-2", "own"),
    ],
)
def test_every_task_names_its_scale(task: str, scale: str) -> None:
    assert get_task(task, {}).scale == scale


def _table(make_suite: Callable[..., Any], tasks: list[str], labels: list[str]) -> str:
    specs = {task: get_task(task, {}) for task in tasks if not task.startswith("made/")}
    text: str = build_report(
        make_suite(tasks=tasks, specs=specs, labels=labels).write()
    ).paths.markdown.read_text()
    return text


def test_tasks_of_several_scales_are_marked_and_so_is_their_average(
    make_suite: Callable[..., Any],
) -> None:
    tasks = ["local/pen/expert", "pointmaze/umaze", "made/up"]
    text = _table(make_suite, tasks, ["bc", "iql"])
    assert "| local/pen/expert |" in text
    assert "| pointmaze/umaze‡ |" in text
    assert "| made/up§ |" in text
    assert "| **Average (all 3 tasks)‡§** |" in text
    assert "‡: scored in the environment that Minari's" in text


def test_columns_of_tasks_are_marked_as_rows_are(make_suite: Callable[..., Any]) -> None:
    labels = ["bc", "iql", "td3-bc", "fql", "ifql", "df-dir", "df-div", "flow-bc"]
    tasks = ["local/pen/mixed", "pointmaze/umaze", "pointmaze/medium"]
    text = _table(make_suite, tasks, labels)
    assert "| Algorithm | umaze‡ | medium‡ | Average‡ |" in text


def test_tasks_of_one_scale_need_no_mark(make_suite: Callable[..., Any]) -> None:
    text = _table(make_suite, ["pointmaze/umaze", "pointmaze/medium"], ["bc", "iql"])
    assert "‡" not in text
