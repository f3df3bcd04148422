from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.execution.prepare import prepare
from harness.suite.figures import Heatmap, Trend, parse_figures, task_options
from harness.tasks import get_task

ALGORITHMS = {"bc": {}, "iql": {"sweep": {"expectile": [0.7, 0.9], "tau": [0.1, 0.2]}}}
TREND = {"kind": "trend", "title": "T", "x": "tau"}


def failure(write_suite: Callable[..., Path], tmp_path: Path, figures: list[Any]) -> str:
    path = write_suite(algorithms=ALGORITHMS, figures=figures)
    with pytest.raises(UserError) as error:
        prepare(path, tmp_path, lambda *_: None)
    return str(error.value)


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        ({"kind": "heat", "title": "T"}, "figures[0].kind: unknown kind of figure 'heat'."),
        ({"title": "T"}, "figures[0].kind: unknown kind of figure ''."),
        (TREND | {"xs": "rho"}, "figures[0].xs: unknown key 'xs'. Did you mean 'x'?"),
        ({"kind": "heatmap", "title": "T", "x": "tau"}, "figures[0].y: this key is missing"),
        (TREND | {"value": "scores"}, "figures[0].value: write score, latency, metric:<name> or"),
        (
            {"kind": "table", "title": "T", "values": ["score", "metric:"]},
            "figures[0].values[1]: write score, latency, metric:<name> or measure:<name>",
        ),
        ({"kind": "metrics", "title": "T", "names": []}, "figures[0].names: expected at least 1"),
        (TREND | {"label": "df-*"}, "figures[0].label: unknown entry 'df-*'. Allowed: bc, iql."),
        (TREND | {"task": "gym/*"}, "figures[0].task: unknown task 'gym/*'."),
        (
            TREND | {"x": "discount"},
            "figures[0].x: no entry shown sweeps it: unknown field 'discount'.",
        ),
        (TREND | {"label": "bc"}, "figures[0].x: no entry shown sweeps it: unknown field 'tau'."),
        (TREND | {"x": "task:modes"}, "figures[0].x: unknown option of tasks 'modes'."),
        (TREND | {"group": "labels"}, "figures[0].group: no entry shown sweeps it"),
        (
            {"kind": "heatmap", "title": "T", "x": "tau", "y": "expectil"},
            "figures[0].y: no entry shown sweeps it: unknown field 'expectil'. Did you mean",
        ),
    ],
)
def test_a_mistake_in_a_figure_is_shown_where_it_is(
    write_suite: Callable[..., Path], tmp_path: Path, figure: dict[str, Any], message: str
) -> None:
    text = failure(write_suite, tmp_path, [figure])
    assert message in text
    assert "line " in text


def test_two_figures_may_not_write_the_same_files(
    write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    figures = [TREND | {"title": "Score by T"}, TREND | {"title": "Score, by T"}]
    assert "figures[1].title: another figure has this title" in failure(
        write_suite, tmp_path, figures
    )


def test_figures_of_every_kind_are_planned(
    data_home: Path, write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    figures = [
        {"kind": "heatmap", "title": "A", "x": "tau", "y": "expectile", "label": "iql"},
        TREND | {"x": "latency", "group": "tau", "value": "measure:in_support"},
        TREND | {"title": "C", "x": "task:transitions", "group": "selection"},
        TREND | {"title": "D", "label": "iql.expectile-0.7*"},
        {"kind": "metrics", "title": "E", "names": ["critic/loss"]},
        {"kind": "table", "title": "F", "values": ["score", "metric:critic/loss", "latency"]},
    ]
    plan = prepare(write_suite(algorithms=ALGORITHMS, figures=figures), tmp_path, lambda *_: None)
    parsed, problems = parse_figures(plan.suite.figures)
    assert problems == []
    assert [type(figure).__name__ for figure in parsed] == [
        "Heatmap",
        "Trend",
        "Trend",
        "Trend",
        "Metrics",
        "Table",
    ]


def test_a_pattern_means_entries_or_single_rows_of_their_sweeps() -> None:
    entry = Heatmap(kind="heatmap", title="T", x="a", y="b", label="iql")
    row = Trend(kind="trend", title="T", x="a", label="*.b-2")
    assert entry.shows_row("iql.a-1.b-2", "iql")
    assert row.shows_row("iql.a-1.b-2", "iql")
    assert not row.shows_row("iql.a-1.b-3", "iql")


def test_options_of_a_task_are_those_of_environment_data_and_served_q() -> None:
    task = get_task("multimodal/modes-4-dim-2", {"q_noise": 0.5, "transitions": 50})
    options = task_options(task)
    names = ("modes", "dim", "q_noise", "q_bias", "transitions")
    assert [options[name] for name in names] == [4, 2, 0.5, 0.0, 50]
