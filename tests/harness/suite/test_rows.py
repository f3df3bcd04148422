from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.execution.plan import Plan
from harness.execution.prepare import prepare
from harness.suite.rows import spell
from harness.suite.schema import load_suite
from tests.harness.conftest import TINY_TASK

PlanOf = Callable[..., Plan]
SWEEP = {"iql": {"sweep": {"expectile": [0.7, 0.9], "hidden_dims": [[16], [16, 16]]}}}
OPEN_TASK = {"pointmaze/open": {"transitions": 2000}}


def failure(write_suite: Callable[..., Path], tmp_path: Path, **changes: Any) -> str:
    with pytest.raises(UserError) as error:
        prepare(write_suite(**changes), tmp_path, lambda *_: None)
    return str(error.value)


def test_a_sweep_is_every_combination_under_labels_that_say_it(plan_of: PlanOf) -> None:
    plan = plan_of(seeds=1, algorithms={"bc": {}} | SWEEP)
    assert [(run.label, run.config.get("expectile")) for run in plan.runs] == [
        ("bc", None),
        ("iql.expectile-0.7.hidden_dims-16", 0.7),
        ("iql.expectile-0.7.hidden_dims-16-16", 0.7),
        ("iql.expectile-0.9.hidden_dims-16", 0.9),
        ("iql.expectile-0.9.hidden_dims-16-16", 0.9),
    ]
    assert {run.algorithm for run in plan.runs} == {"bc", "iql"}
    assert plan.runs[1].config["hidden_dims"] == [16]
    assert len({run.hash for run in plan.runs}) == 5


def test_suite_json_says_where_each_row_comes_from(plan_of: PlanOf) -> None:
    plan = plan_of(seeds=1, algorithms={"bc": {}} | SWEEP)
    plan.suite_file("command").write(plan.directory)
    rows = json.loads((plan.directory / "suite.json").read_text())["rows"]
    assert [row["base"] for row in rows] == ["bc"] + ["iql"] * 4
    assert rows[0]["variant"] == {}
    assert rows[4]["variant"] == {"expectile": 0.9, "hidden_dims": [16, 16]}
    assert rows[4]["config"]["expectile"] == 0.9
    assert [row["action_selection"] for row in rows] == ["noise-1"] + ["noise-0"] * 4
    assert [row["trusts_critic"] for row in rows] == [False] + [True] * 4


def test_a_swept_run_is_the_run_that_its_config_alone_would_be(plan_of: PlanOf) -> None:
    swept = plan_of(seeds=1, algorithms={"iql": {"sweep": {"expectile": [0.9]}}})
    alone = plan_of(seeds=1, algorithms={"iql": {"config": {"expectile": 0.9}}})
    assert [run.hash for run in swept.runs] == [run.hash for run in alone.runs]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.3, "0.3"),
        (1e-5, "1e-05"),
        (-2, "-2"),
        (True, "true"),
        (None, "none"),
        ("mini-batch OT/2", "mini-batch_OT_2"),
        ([256, 256], "256-256"),
        ({"steps": 4}, "steps-4"),
    ],
)
def test_any_value_has_a_spelling_that_file_names_allow(value: Any, expected: str) -> None:
    assert spell(value) == expected


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            {"sweep": {"expectil": [0.7, 0.9]}},
            "algorithms.iql.sweep.expectil: unknown key 'expectil'. Did you mean 'expectile'?",
        ),
        (
            {"sweep": {"expectile": [0.7, "high"]}},
            "algorithms.iql.sweep.expectile[1]: expected a number, found the text 'high'",
        ),
        (
            {"sweep": {"expectile": []}},
            "algorithms.iql.sweep.expectile: expected at least 1, found the list []",
        ),
        (
            {"sweep": {"expectile": 0.7}},
            "algorithms.iql.sweep.expectile: expected a list, found the number 0.7",
        ),
        (
            {"sweep": {"expectile": [0.7]}, "config": {"expectile": 0.9}},
            "algorithms.iql.config.expectile: `sweep` gives this field too; keep one",
        ),
        (
            {"sweep": {"expectile": [0.7]}, "per_task": {"*": {"expectile": 0.9}}},
            "algorithms.iql.per_task.*.expectile: `sweep` gives this field too; keep one",
        ),
        (
            {"sweep": {"expectile": [0.7, 0.7]}},
            "algorithms.iql.sweep: 2 of its rows would be 'iql.expectile-0.7'; keep one",
        ),
        (
            {"sweep": {"temperature": [1, 1.0]}},
            "algorithms.iql.sweep: 'iql.temperature-1.0' is 'iql.temperature-1' again; keep one",
        ),
    ],
)
def test_a_mistake_in_a_sweep_is_shown_where_it_is(
    write_suite: Callable[..., Path], tmp_path: Path, entry: dict[str, Any], message: str
) -> None:
    text = failure(write_suite, tmp_path, algorithms={"iql": entry})
    assert message in text
    assert "has a problem" in text


def test_a_mistake_in_a_sweep_has_its_line(
    write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    text = """\
name: tiny
title: Tiny
question: Why?
tasks: [pointmaze/umaze]
algorithms:
  iql:
    sweep:
      expectile:
        - 0.7
        - high
seeds: 1
training: {steps: 10}
evaluation: {every: 5, episodes: 1}
"""
    assert "line 10, algorithms.iql.sweep.expectile[1]: " in failure(
        write_suite, tmp_path, text=text
    )


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"algorithms": {"iql": {"sweep": {f: [*range(128)] for f in ("tau", "seed", "rho")}}}},
            "algorithms.iql.sweep: it stands for 2,097,152 rows, and a suite may have at most "
            "1,000: ",
        ),
        (
            {"algorithms": {n: {"sweep": {"tau": [*range(501)]}} for n in ("iql", "fql")}},
            "algorithms: its entries stand for 1,002 rows together, and a suite may have at most",
        ),
        (
            {"algorithms": {"iql": {"sweep": {f"field-{i}": [1, 2] for i in range(20_000)}}}},
            "algorithms.iql.sweep: expected at most 10, found ",
        ),
        (
            {"algorithms": {"bc": {"sweep": {"batch_size": [*range(1, 201)]}}}, "seeds": 1000},
            "the file: it stands for 200,000 runs (200 pairs of task and row, 1,000 seeds each), "
            "and a suite may have at most 100,000. ",
        ),
        (
            {"training": {"steps": 10**9}, "evaluation": {"every": 1, "episodes": 1}},
            "evaluation.every: 1 makes 1,000,000,000 evaluations a run, at most 100,000 can be",
        ),
    ],
    ids=["rows of an entry", "rows of all", "fields", "runs", "evaluations"],
)
def test_more_than_anybody_can_train_is_refused_before_it_is_written_out(
    write_suite: Callable[..., Path], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    assert message in failure(write_suite, tmp_path, **changes)


def test_a_row_may_not_take_another_entrys_name(write_suite: Callable[..., Path]) -> None:
    algorithms = {"iql": {"sweep": {"tau": [0.1]}}, "iql.tau-0.1": {"algorithm": "iql"}}
    with pytest.raises(UserError, match=r"one of its rows is 'iql\.tau-0\.1', which another"):
        load_suite(write_suite(algorithms=algorithms))


def test_an_entry_runs_on_the_tasks_it_names_only(plan_of: PlanOf) -> None:
    algorithms = {"bc": {}, "iql": {"tasks": ["*/open"]}}
    plan = plan_of(seeds=1, tasks=[TINY_TASK, OPEN_TASK], algorithms=algorithms)
    cells = [(run.task.id, run.label) for run in plan.runs]
    assert cells == [("pointmaze/umaze", "bc"), ("pointmaze/open", "bc"), ("pointmaze/open", "iql")]
    plan.suite_file("command").write(plan.directory)
    rows = json.loads((plan.directory / "suite.json").read_text())["rows"]
    assert [row["tasks"] for row in rows] == [
        ["pointmaze/umaze", "pointmaze/open"],
        ["pointmaze/open"],
    ]


def test_tasks_that_no_task_matches_are_a_mistake(
    write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    text = failure(write_suite, tmp_path, algorithms={"bc": {"tasks": ["*", "adroit/*"]}})
    assert "algorithms.bc.tasks[1]: no task of this suite matches" in text


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"known_q": True}, "config.known_q: pointmaze/umaze has no closed-form Q"),
        (
            {"known_q": True, "normalize_observations": False, "reward_transform": "mean-return"},
            "config.known_q: pointmaze/umaze has no closed-form Q",
        ),
    ],
)
def test_a_closed_form_critic_is_refused_where_there_is_none(
    write_suite: Callable[..., Path], tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    text = failure(write_suite, tmp_path, algorithms={"iql": {"config": config}})
    assert f"algorithms.iql.{message}" in text


def test_a_closed_form_critic_needs_raw_data(
    write_suite: Callable[..., Path], tmp_path: Path
) -> None:
    tasks = [{"multimodal/modes-2-dim-2": {"transitions": 100}}]
    text = failure(
        write_suite, tmp_path, tasks=tasks, algorithms={"td3-bc": {"config": {"known_q": True}}}
    )
    assert "config.known_q: the closed-form Q sees raw data: set normalize_observations" in text
