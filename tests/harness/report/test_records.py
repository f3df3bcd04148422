from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.errors import UserError
from harness.report.comparison import compare
from harness.report.records import read_records

TASK = "pointmaze/umaze"


def states(records: Any) -> dict[tuple[str, int], str]:
    return {(row.label, row.seed): row.state for row in records.runs.itertuples()}


def test_missing_folder_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no results folder .*nowhere.*harness run nowhere"):
        read_records(tmp_path / "nowhere")


def test_folder_without_a_suite_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no suite\.json"):
        read_records(tmp_path)


def test_command_for_smoke_results_asks_for_a_smoke_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"harness run quickstart --smoke"):
        read_records(tmp_path / "quickstart-smoke")


def test_broken_json_names_the_file(make_suite: Callable[..., Any]) -> None:
    folder = make_suite(labels=["bc"]).write()
    (folder / "suite.json").write_text('{"name": "demo", ')
    with pytest.raises(UserError, match=r"suite\.json is malformed: Invalid JSON"):
        read_records(folder)


def test_wrong_type_names_the_key(make_suite: Callable[..., Any]) -> None:
    builder = make_suite(labels=["bc"])
    folder = builder.write()
    content = builder.suite()
    content["evaluation"]["episodes"] = "many"
    (folder / "suite.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"at 'evaluation\.episodes'"):
        read_records(folder)


def test_unknown_protocol_lists_the_known_ones(make_suite: Callable[..., Any]) -> None:
    builder = make_suite(labels=["bc"])
    folder = builder.write()
    content = builder.suite()
    content["evaluation"]["protocol"] = "lats"
    (folder / "suite.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"'lats'.*known: last.*mean 'last'"):
        compare(read_records(folder))


def test_every_planned_run_keeps_its_row(make_suite: Callable[..., Any]) -> None:
    builder = make_suite(
        labels=["bc", "iql"],
        states={
            (TASK, "bc", 1): "failed",
            (TASK, "iql", 0): "missing",
            (TASK, "iql", 2): "running",
        },
        errors={(TASK, "bc", 1): "actions are NaN"},
    )
    records = read_records(builder.write())
    expected = ["done", "failed", "done", "missing", "done", "running"]
    assert list(records.runs["state"]) == expected
    assert records.runs["error"][1] == "actions are NaN"
    cells = compare(records).cells
    counts = {label: (len(c.scores), c.planned, c.failed) for (_, label), c in cells.items()}
    assert counts == {"bc": (2, 3, 1), "iql": (1, 3, 0)}


def test_a_run_of_another_spec_is_not_scored(make_suite: Callable[..., Any]) -> None:
    builder = make_suite(labels=["bc"])
    folder = builder.write()
    path = builder.run_path(TASK, "bc", 0) / "spec.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"hash": "another"}))
    records = read_records(folder)
    assert states(records)["bc", 0] == "stale"
    assert set(records.evaluations["seed"]) == {1, 2}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("seed,step,episode\n0,1,0\n", "evaluations.csv lacks return, length"),
        ("", "No columns to parse"),
        (
            "seed,step,episode,return,length,terminated,success,normalized_score\n",
            "has no evaluations",
        ),
        (None, "has no evaluations"),
    ],
)
def test_unreadable_evaluations_fail_their_run_only(
    make_suite: Callable[..., Any], content: str | None, reason: str
) -> None:
    builder = make_suite(labels=["bc"])
    folder = builder.write()
    path = builder.run_path(TASK, "bc", 0) / "evaluations.csv"
    path.unlink() if content is None else path.write_text(content)
    records = read_records(folder)
    assert states(records) == {("bc", 0): "failed", ("bc", 1): "done", ("bc", 2): "done"}
    assert reason in records.runs["error"][0]


def test_the_score_is_the_mean_over_the_last_evaluations_episodes(
    make_suite: Callable[..., Any],
) -> None:
    builder = make_suite(labels=["bc"], seeds=[4])
    folder = builder.write()
    rows = ["seed,step,episode,return,length,terminated,success,normalized_score"]
    rows += ["4,10000,0,1.0,300,false,0.0,90.0", "4,20000,0,1.0,300,false,0.0,10.0"]
    rows += ["4,20000,1,1.0,300,false,0.0,20.5"]
    (builder.run_path(TASK, "bc", 4) / "evaluations.csv").write_text("\n".join(rows))
    cell = compare(read_records(folder)).cells[TASK, "bc"]
    assert cell.scores.tolist() == [15.25]


def test_spread_is_the_returns_spread_scaled_and_never_shifted(
    make_suite: Callable[..., Any],
) -> None:
    records = read_records(make_suite(labels=["bc"]).write())
    final = records.evaluations[records.evaluations["step"] == 20_000]
    returns = final.groupby("seed")["return"].mean()
    assert compare(records).cells[TASK, "bc"].std == pytest.approx(returns.std(ddof=0) / 2)


def test_columns_of_earlier_versions_are_read_by_todays_names(
    make_suite: Callable[..., Any],
) -> None:
    settings = {
        "labels": ["iql"],
        "entries": {"iql": {"action_selection": "noise-0"}},
        "selections": {(TASK, "iql"): {"noise-1": [50.0, 52.0, 54.0]}},
        "measures": {(TASK, "iql"): {"height": [1.0, 2.0, 3.0]}},
    }
    folder = make_suite(**settings).write()
    now = read_records(folder)
    for path in folder.glob("runs/*/*/*/*.csv"):
        header, _, rest = path.read_text().partition("\n")
        older = header.replace("action_selection", "actions")
        older = older.replace("amortized_action_ms", "action_latency_ms")
        path.write_text(f"{older}\n{rest}")
    earlier = read_records(folder)
    assert set(earlier.other_selections["action_selection"]) == {"noise-1"}
    for name in ("runs", "evaluations", "other_selections", "timings", "measures"):
        pd.testing.assert_frame_equal(getattr(earlier, name), getattr(now, name))
