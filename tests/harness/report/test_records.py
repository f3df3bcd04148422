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
from tests.harness.report.conftest import HIGH, LOW

TASK = "pointmaze/umaze"


def states(records: Any) -> dict[tuple[str, int], str]:
    return {(row.label, row.seed): row.state for row in records.runs.itertuples()}


def test_missing_folder_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no results folder .*nowhere.*harness run SUITE"):
        read_records(tmp_path / "nowhere")


def test_folder_without_a_suite_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no suite\.json"):
        read_records(tmp_path)


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


def damaged(suite: dict[str, Any], change: str) -> None:
    if change == "a row twice":
        suite["rows"].append(suite["rows"][0])
    elif change == "a task twice":
        suite["tasks"].append(suite["tasks"][0])
    elif change == "a run twice":
        suite["runs"].append(suite["runs"][0])
    elif change == "it does not list":
        suite["runs"][0]["label"] = "iql"
    elif change == "no action selection":
        suite["rows"][0]["action_selection"] = "noise-x"
    elif change == "nothing can be normalised":
        suite["tasks"][0]["reference"] |= {"min": 1.0, "max": 1.0}
    elif change == "finite":
        suite["tasks"][0]["reference"]["max"] = float("nan")
    elif change == "at least 1 item":
        suite["tasks"] = []
    elif change == "less than or equal":
        suite["steps"] = 10**30


@pytest.mark.parametrize(
    "change",
    [
        "a row twice",
        "a task twice",
        "a run twice",
        "it does not list",
        "no action selection",
        "nothing can be normalised",
        "finite",
        "at least 1 item",
        "less than or equal",
    ],
)
def test_a_suite_file_that_no_suite_leaves_is_explained(
    make_suite: Callable[..., Any], change: str
) -> None:
    builder = make_suite(labels=["bc"])
    folder = builder.write()
    content = builder.suite()
    damaged(content, change)
    (folder / "suite.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"suite\.json is malformed.*{change}.*Give the suite"):
        read_records(folder)


@pytest.mark.parametrize(
    ("file", "change", "reason"),
    [
        ("spec.json", {"config": []}, "spec.json lacks the config"),
        ("spec.json", {"dataset_sha256": 1}, "spec.json lacks the config or the data's sha256"),
        ("provenance.json", {"dataset": "here"}, "provenance.json does not say"),
        ("provenance.json", {"algorithm": [1]}, "provenance.json does not say"),
        ("status.json", {"total_steps": 7, "evaluated_step": 7}, "it has 7 steps, and the suite"),
        ("status.json", {"step": 10**400}, "status.json is no status of a run"),
        ("spec.json", None, "spec.json cannot be read (its brackets are nested too deeply)"),
    ],
)
def test_a_file_of_another_form_fails_its_run_only(
    make_suite: Callable[..., Any], file: str, change: dict[str, Any] | None, reason: str
) -> None:
    builder = make_suite(labels=["bc"])
    folder = builder.write()
    path = builder.run_path(TASK, "bc", 0) / file
    found = json.loads(path.read_text())
    path.write_text("[" * 100_000 if change is None else json.dumps(found | change))
    records = read_records(folder)
    assert states(records) == {("bc", 0): "failed", ("bc", 1): "done", ("bc", 2): "done"}
    assert reason in records.runs["error"][0]


def test_unknown_protocol_lists_the_known_ones(make_suite: Callable[..., Any]) -> None:
    builder = make_suite(labels=["bc"])
    folder = builder.write()
    content = builder.suite()
    content["evaluation"]["protocol"] = "lats"
    (folder / "suite.json").write_text(json.dumps(content))
    with pytest.raises(
        UserError,
        match=r"evaluation\.protocol of suite\.json: 'lats' is no protocol; there are last, ",
    ):
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
            "its last evaluation has 0 of 10 episodes",
        ),
        (None, "evaluations.csv is gone"),
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
    builder = make_suite(labels=["bc"], seeds=[4], episodes=2)
    folder = builder.write()
    rows = ["seed,step,episode,return,length,terminated,success,normalized_score"]
    for step, episode, score in ((10_000, 0, 90.0), (20_000, 0, 10.0), (20_000, 1, 20.5)):
        found = LOW + score / 100 * (HIGH - LOW)
        rows.append(f"4,{step},{episode},{found!r},300,false,0.0,{score}")
    (builder.run_path(TASK, "bc", 4) / "evaluations.csv").write_text("\n".join(rows))
    cell = compare(read_records(folder)).cells[TASK, "bc"]
    assert cell.scores.tolist() == [15.25]


def test_spread_is_the_returns_spread_scaled_and_never_shifted(
    make_suite: Callable[..., Any],
) -> None:
    records = read_records(make_suite(labels=["bc"]).write())
    final = records.evaluations[records.evaluations["step"] == 20_000]
    returns = final.groupby("seed")["return"].mean()
    assert compare(records).cells[TASK, "bc"].std == pytest.approx(returns.std(ddof=1) / 2)


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


def last_row(table: list[str], change: Callable[[list[str]], list[str]]) -> list[str]:
    """A table's lines with its last row changed."""
    return [*table[:-1], ",".join(change(table[-1].split(",")))]


EDITS: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "a score": (
        lambda lines: last_row(lines, lambda r: [*r[:-1], "99.5"]),
        "not that of its return",
    ),
    "a return": (lambda lines: last_row(lines, lambda r: [*r[:3], "inf", *r[4:]]), "not finite"),
    "a text": (
        lambda lines: last_row(lines, lambda r: [*r[:3], "many", *r[4:]]),
        "Unable to",
    ),
    "another seed": (lambda lines: last_row(lines, lambda r: ["7", *r[1:]]), "of another seed"),
    "a row twice": (lambda lines: [*lines, lines[-1]], "an episode twice"),
    "a row less": (lambda lines: lines[:-1], "has 9 of 10 episodes"),
    "a cut row": (lambda lines: [*lines[:-1], lines[-1][:9]], "evaluations.csv"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_no_run_wrote_is_named_and_left_out_even_where_nothing_is_sealed(
    make_suite: Callable[..., Any], edit: str
) -> None:
    change, reason = EDITS[edit]
    builder = make_suite(labels=["bc"])
    folder = builder.write()
    path = builder.run_path(TASK, "bc", 1) / "evaluations.csv"
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    records = read_records(folder)
    assert states(records) == {("bc", 0): "done", ("bc", 1): "failed", ("bc", 2): "done"}
    assert reason in records.runs["error"][1]
    assert set(records.evaluations["seed"]) == {0, 2}


@pytest.mark.parametrize(
    "content", ["[]", "null", "{", '"done"', '{"state": 3}', "{}", "\x00\xff"], ids=repr
)
@pytest.mark.parametrize("name", ["status.json", "spec.json", "provenance.json"])
def test_no_content_of_a_file_ends_the_report(
    make_suite: Callable[..., Any], name: str, content: str
) -> None:
    builder = make_suite(labels=["bc"])
    folder = builder.write()
    (builder.run_path(TASK, "bc", 1) / name).write_text(content, encoding="latin-1")
    found = states(read_records(folder))
    assert (found["bc", 0], found["bc", 2]) == ("done", "done")
    assert found["bc", 1] in {"failed", "missing", "stale"} or name == "provenance.json"


def test_links_are_not_read(make_suite: Callable[..., Any]) -> None:
    builder = make_suite(labels=["bc"])
    folder = builder.write()
    path = builder.run_path(TASK, "bc", 1)
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")
    records = read_records(folder)
    assert states(records)["bc", 1] == "failed"
    assert "is a link" in records.runs["error"][1]


@pytest.mark.parametrize("path", ["../outside", "/etc", "runs/../../x", ""])
def test_a_path_that_leaves_the_folder_is_refused(
    make_suite: Callable[..., Any], path: str
) -> None:
    folder = make_suite(labels=["bc"]).write()
    content = json.loads((folder / "suite.json").read_text())
    content["runs"][0]["path"] = path
    (folder / "suite.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="is no path inside the results folder"):
        read_records(folder)
