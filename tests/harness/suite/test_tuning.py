"""Tuning in a suite file: what it stands for, and unequal effort refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UserError
from harness.execution.draft import RunOptions, draft
from harness.suite.configs import resolve_configs
from harness.suite.schema import load_suite, suite_tasks

WriteSuite = Callable[..., Path]
METHODS: dict[str, Any] = {"bc": {}, "iql": {}}
SETTINGS = {"bc": [{"learning_rate": 0.01}], "iql": [{"expectile": 0.9}]}


def tuned(**changes: Any) -> dict[str, Any]:
    tuning = {"seeds": [100, 101], "settings": SETTINGS} | changes
    return {"algorithms": METHODS, "tuning": tuning}


def test_an_entry_tries_its_own_setting_first_and_the_others_over_all_else(
    write_suite: WriteSuite,
) -> None:
    entry = {"config": {"expectile": 0.6}, "per_task": {"pointmaze/*": {"expectile": 0.8}}}
    suite, document = load_suite(write_suite(**tuned() | {"algorithms": METHODS | {"iql": entry}}))
    labels = ["bc", "bc.learning_rate-0.01", "iql", "iql.expectile-0.9"]
    assert [row.label for row in suite.settings] == labels
    assert [row.label for row in suite.rows] == ["bc", "iql"]
    configs = resolve_configs(suite, document, suite_tasks(suite), {})
    of = {label: configs["pointmaze/umaze", label] for label in labels}
    assert [of["iql"]["expectile"], of["iql.expectile-0.9"]["expectile"]] == [0.8, 0.9]
    changed = {key for key in of["bc"] if of["bc"][key] != of["bc.learning_rate-0.01"][key]}
    assert changed == {"learning_rate"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            tuned(settings={"bc": [{"learning_rate": 0.01}]}),
            "tuning.settings: every entry is tuned or none is: give settings for iql, too",
        ),
        (
            tuned(settings=SETTINGS | {"fql": [{"alpha": 3}]}),
            "tuning.settings.fql: unknown entry 'fql'. Did you mean 'iql'? Allowed: bc",
        ),
        (
            tuned(settings=SETTINGS | {"bc": [{"learning_rate": 0.01}, {"learning_rate": 0.1}]}),
            "tuning.settings: every entry tries as many settings: here are bc 2, iql 1",
        ),
        (
            tuned(seeds=[100, 1, 0]),
            "tuning.seeds: the final runs have 0, 1 too: choose other seeds",
        ),
        (tuned(seeds=[100, 100]), "tuning.seeds: seeds must be a count of at least 1 and at"),
        (tuned(seeds=[]), "tuning.seeds: seeds must be a count of at least 1 and at most"),
        (tuned(seed=[100]), "tuning.seed: unknown key 'seed'. Did you mean 'seeds'? Allowed: "),
        (tuned(per="tasks"), "tuning.per: expected 'task' or 'family', found the text 'tasks'"),
        (tuned(settings=SETTINGS | {"bc": []}), "tuning.settings.bc: expected at least 1"),
        (tuned(settings=SETTINGS | {"bc": [{}]}), "tuning.settings.bc[0]: expected at least 1"),
        (
            tuned() | {"algorithms": METHODS | {"bc": {"sweep": {"batch_size": [8, 16]}}}},
            "algorithms.bc.sweep: an entry that is tuned has one row: make an entry of each, or ",
        ),
        (
            tuned() | {"algorithms": METHODS | {"iql.expectile-0.9": {"algorithm": "iql"}}},
            "tuning.settings.iql: one of its rows is 'iql.expectile-0.9', which another entry is ",
        ),
        (
            tuned(settings=SETTINGS | {"iql": [{"expectil": 0.9}]}),
            "tuning.settings.iql[0].expectil: unknown key 'expectil'. Did you mean 'expectile'?",
        ),
        (
            tuned(settings=SETTINGS | {"iql": [{"expectile": 2}]}),
            "tuning.settings.iql[0].expectile: expected a number above 0 and below 1, found",
        ),
        (
            tuned(settings=SETTINGS | {"iql": [{"expectile": 0.7}]}),
            "tuning.settings.iql: 'iql.expectile-0.7' is its own setting on pointmaze/umaze: try",
        ),
        (
            tuned(
                settings={
                    "bc": [{"learning_rate": 0.01}, {"learning_rate": 0.1}],
                    "iql": [{"expectile": 0.9}, {"expectile": 0.9, "discount": 0.99}],
                }
            ),
            "'iql.expectile-0.9.discount-0.99' is 'iql.expectile-0.9' on pointmaze/umaze: try",
        ),
        (
            tuned() | {"seeds": 10, "options": {"seeds": 101}},
            "tuning.seeds: the final runs have 100 too: choose other seeds",
        ),
    ],
)
def test_what_is_no_equal_effort_is_refused_with_its_place(
    write_suite: WriteSuite, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    options = changes.pop("options", {})
    path = write_suite(**changes)
    with pytest.raises(UserError, match=r"(?s)has (a problem|2 problems):\n  line \d+, ") as error:
        draft(path, tmp_path / "results", RunOptions(**options))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("changes", "more", "message"),
    [
        (
            {"tasks": ["pointmaze/umaze"]},
            {},
            "tuning.tasks: each task chooses for itself: leave this out, or say `per: family`",
        ),
        (
            {"tasks": ["pointmaze/umaze", "pointmaze/umaze"], "per": "family"},
            {},
            "tuning.tasks: a task is named twice: once is enough",
        ),
        (
            {"tasks": [], "per": "family"},
            {},
            "tuning.tasks: none of pointmaze that bc runs on: add one of pointmaze/umaze, ",
        ),
        (
            {"tasks": ["pointmaze/large"], "per": "family"},
            {},
            "tuning.tasks: unknown task 'pointmaze/large'. Did you mean",
        ),
        (
            {"tasks": ["pointmaze/umaze"], "per": "family"},
            {"iql": {"tasks": ["pointmaze/medium"]}},
            "none of pointmaze that iql runs on: add one of pointmaze/medium",
        ),
    ],
)
def test_tasks_that_cannot_choose_for_all_are_refused(
    write_suite: WriteSuite,
    tmp_path: Path,
    changes: dict[str, Any],
    more: dict[str, Any],
    message: str,
) -> None:
    suite = tuned(**changes) | {"tasks": ["pointmaze/umaze", "pointmaze/medium"]}
    path = write_suite(**suite | {"algorithms": METHODS | more})
    with pytest.raises(UserError) as error:
        draft(path, tmp_path / "results")
    assert message in str(error.value)


def test_tuning_runs_count_among_those_that_a_suite_may_have(
    write_suite: WriteSuite, tmp_path: Path
) -> None:
    many = [{"learning_rate": 1e-6 * number} for number in range(1, 60)]
    suite = tuned(seeds=[*range(1000, 2000)], settings={"bc": many}) | {"algorithms": {"bc": {}}}
    draft(write_suite(**suite), tmp_path)
    suite["tasks"] = ["pointmaze/umaze", "pointmaze/medium"]
    with pytest.raises(UserError, match=r"120,004 runs .*and 120,000 that choose their settings"):
        draft(write_suite(**suite), tmp_path)


def test_settings_that_a_smoke_run_shrinks_to_one_are_no_mistake(
    write_suite: WriteSuite, tmp_path: Path
) -> None:
    settings = {"bc": [{"hidden_dims": [512]}], "iql": [{"hidden_dims": [512]}]}
    path = write_suite(**tuned(settings=settings))
    smoke = draft(path, tmp_path, RunOptions(smoke=True))
    configs = [smoke.configs["pointmaze/umaze", row.label] for row in smoke.suite.settings]
    assert configs[0] == configs[1]


def test_a_suite_without_tuning_tries_nothing(write_suite: WriteSuite) -> None:
    suite, _ = load_suite(write_suite(algorithms={"bc": {"sweep": {"batch_size": [8, 16]}}}))
    assert suite.settings == suite.rows
