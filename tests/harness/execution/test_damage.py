"""Results are sealed: what was changed, cut or exchanged is noticed, and made whole by `run`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.execution.plan import Plan
from harness.execution.work import work
from harness.report.records import read_records
from tests.harness.conftest import trials_of
from tests.harness.execution.test_work import finish

PlanOf = Callable[..., Plan]
RESULTS = ("evaluations.csv", "metrics.csv", "spec.json")
IQL = {"algorithms": {"iql": {}}}


def contents(folder: Path, names: tuple[str, ...] = RESULTS) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names}


def drop_last_line(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def flip_a_digit(path: Path) -> None:
    text = path.read_text()
    place = max(i for i, letter in enumerate(text) if letter.isdigit())
    path.write_text(text[:place] + str((int(text[place]) + 1) % 10) + text[place + 1 :])


def repeat_the_last_line(path: Path) -> None:
    path.write_text(path.read_text() + path.read_text().splitlines(keepends=True)[-1])


DAMAGES: dict[str, Callable[[Path], None]] = {
    "gone": Path.unlink,
    "empty": lambda path: path.write_bytes(b"") and None,
    "without its last line": drop_last_line,
    "with a digit changed": flip_a_digit,
    "with a line twice": repeat_the_last_line,
}


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("how", DAMAGES)
def test_a_done_run_with_a_damaged_file_is_not_done_and_is_repaired_without_training(
    plan_of: PlanOf, name: str, how: str
) -> None:
    plan = plan_of(seeds=1)
    finish(plan)
    folder = plan.folder(plan.runs[0])
    before, provenance = contents(folder.path), (folder.path / "provenance.json").read_bytes()
    DAMAGES[how](folder.path / name)
    assert plan.unfinished() == plan.runs
    assert any(name in sentence for sentence in folder.damage(folder.status()))
    folder.check_spec(plan.runs[0])  # damage is not another spec
    assert finish(plan) == []  # no evaluation was made again
    assert plan.unfinished() == []
    assert contents(folder.path) == before
    assert (folder.path / "provenance.json").read_bytes() == provenance


@pytest.mark.parametrize("name", ["decisions.csv", "timings.csv"])
@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"step,action_selec"])
def test_times_that_a_crash_spoilt_take_no_run_out_of_the_tables(
    plan_of: PlanOf, name: str, content: bytes
) -> None:
    plan = plan_of(seeds=1)
    finish(plan)
    folder = plan.folder(plan.runs[0])
    (folder.path / name).write_bytes(content)
    assert plan.unfinished() == plan.runs
    finish(plan)
    assert plan.unfinished() == []
    plan.suite_file("python -m harness run tiny.yaml").write(plan.directory)
    records = read_records(plan.directory)
    assert records.damaged == ()
    assert [*records.runs["state"]] == ["done"]


def test_files_of_another_seed_do_not_pass(plan_of: PlanOf) -> None:
    plan = plan_of(seeds=2)
    finish(plan)
    mine, other = (plan.folder(spec).path for spec in plan.runs)
    shutil.copy(other / "evaluations.csv", mine / "evaluations.csv")
    assert plan.unfinished() == [plan.runs[0]]


def test_without_a_checkpoint_a_damaged_run_is_trained_again_to_the_same_bytes(
    plan_of: PlanOf,
) -> None:
    plan = plan_of(seeds=1)
    finish(plan)
    folder = plan.folder(plan.runs[0]).path
    before = contents(folder)
    drop_last_line(folder / "evaluations.csv")
    for path in folder.glob("checkpoint.*"):
        path.unlink()
    assert finish(plan) == [20, 40]
    assert contents(folder) == before


def test_one_damaged_checkpoint_of_stacked_seeds_costs_the_others_nothing(
    plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed 1 goes on alone from the checkpoint before, named; all end with the same bytes."""
    plan = plan_of(seeds=3, **IQL)
    finish(plan)
    whole = [contents(plan.folder(spec).path) for spec in plan.runs]
    shutil.rmtree(plan.directory)
    monkeypatch.setattr("harness.execution.work._CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("harness.execution.work._CHUNK_SECONDS", 0.0)
    monkeypatch.setattr("harness.execution.work._FIRST_CHUNK", 3)
    [trial] = trials_of(plan)
    left = iter(range(12))
    list(work(trial, lambda: next(left, None) is None))
    path = plan.folder(plan.runs[1]).path / "checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 64
    path.write_bytes(content)
    finish(plan)
    assert plan.unfinished() == []
    assert [contents(plan.folder(spec).path) for spec in plan.runs] == whole
    notes = [
        json.loads((plan.folder(s).path / "status.json").read_text())["note"] for s in plan.runs
    ]
    assert notes[0] == notes[2] == ""
    assert "went on from step" in notes[1]
    assert str(path) in notes[1]


def test_damaged_shared_pretraining_is_made_anew(plan_of: PlanOf, tmp_path: Path) -> None:
    plan = plan_of(seeds=1, algorithms={"df-div": {}, "df-dir": {}})
    finish(plan)
    whole = [contents(plan.folder(spec).path) for spec in plan.runs]
    shutil.rmtree(plan.directory)
    [shared] = (tmp_path / "results" / "pretrained").rglob("checkpoint.safetensors")
    content = bytearray(shared.read_bytes())
    content[len(content) // 2] ^= 64
    shared.write_bytes(content)
    finish(plan)
    assert [contents(plan.folder(spec).path) for spec in plan.runs] == whole


@pytest.mark.parametrize("checks", [3, 9, 15, 17, 19])
def test_a_run_stopped_anywhere_ends_with_the_same_bytes_in_every_file(
    plan_of: PlanOf, monkeypatch: pytest.MonkeyPatch, checks: int
) -> None:
    """Metrics of pretraining are logged at evaluations long after it: they survive a stop."""
    monkeypatch.setattr("harness.execution.work._CHUNK_SECONDS", 0.0)
    monkeypatch.setattr("harness.execution.work._FIRST_CHUNK", 3)
    names = ("evaluations.csv", "metrics.csv", "spec.json", "checkpoint.safetensors")
    plan = plan_of(seeds=1, algorithms={"df-div": {}})
    finish(plan)
    folder = plan.folder(plan.runs[0]).path
    whole = contents(folder, names)
    assert b"critic/value_level" in whole["metrics.csv"]
    shutil.rmtree(plan.directory.parent)
    [trial] = trials_of(plan)
    left = iter(range(checks))
    list(work(trial, lambda: next(left, None) is None))
    finish(plan)
    assert contents(folder, names) == whole
