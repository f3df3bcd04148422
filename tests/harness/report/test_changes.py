"""Two results of a suite: differences seed by seed, and every field of specs that changed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from harness.commands.compare import compare_results
from harness.errors import UserError
from harness.report.changes import Change, score_differences, spec_changes
from harness.report.records import read_records
from tests.harness.report.conftest import SuiteBuilder

TASK = "pointmaze/umaze"
BEFORE, AFTER = [10.0, 20.0, 60.0, 30.0], [14.0, 29.0, 61.0, 36.0]


def suite(root: Path, scores: list[float], **settings: object) -> SuiteBuilder:
    final = {(TASK, "iql"): scores}
    seeds = list(range(len(scores)))
    found = SuiteBuilder(root, [TASK], labels=["iql", "bc"], seeds=seeds, final=final)
    for name, value in settings.items():
        setattr(found, name, value)
    return found


def change_specs(found: SuiteBuilder, label: str, **fields: object) -> None:
    for seed in found.seeds:
        path = found.run_path(TASK, label, seed) / "spec.json"
        spec = json.loads(path.read_text())
        spec["config"] |= {"expectile": 0.9} if label == "iql" else {}
        path.write_text(json.dumps(spec | fields))


def printed(first: str | Path, second: str | Path, results: Path) -> str:
    console = Console(width=120, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115
    compare_results(str(first), str(second), results, console)
    return console.export_text()


def test_differences_are_paired_by_seed_with_students_interval(tmp_path: Path) -> None:
    """Against scipy's own paired interval."""
    folders = [suite(tmp_path / str(i), s).write() for i, s in enumerate((BEFORE, AFTER))]
    cells = score_differences(*map(read_records, folders)).set_index("label")
    iql = cells.loc["iql"]
    expected = stats.ttest_rel(AFTER, BEFORE).confidence_interval(0.95)
    assert (iql["first"], iql["second"]) == pytest.approx((30.0, 35.0))
    assert iql["difference"] == pytest.approx(5.0)
    assert (iql["low"], iql["high"]) == pytest.approx((expected.low, expected.high), rel=1e-3)
    assert iql["paired"] == 4
    assert cells.loc["bc", "difference"] == 0  # whose runs are the same


def test_only_seeds_that_both_have_finished_are_paired(tmp_path: Path) -> None:
    first = suite(tmp_path / "a", BEFORE[:3])
    states = {(TASK, "iql", 1): "failed", (TASK, "iql", 2): "failed"}
    second = suite(tmp_path / "b", AFTER, states=states)
    cells = score_differences(*(read_records(side.write()) for side in (first, second)))
    iql = cells.set_index("label").loc["iql"]
    assert iql["paired"] == 1
    assert iql["difference"] == pytest.approx(4.0)
    assert iql["second"] == pytest.approx(25.0)  # seeds 0 and 3
    assert np.isnan([iql["low"], iql["high"]]).all()


def test_every_field_of_a_spec_that_changed_is_named_once(tmp_path: Path) -> None:
    first, second = suite(tmp_path / "a", BEFORE), suite(tmp_path / "b", BEFORE)
    records = [read_records(first.write())]
    second.write()
    for label in ("iql", "bc"):
        change_specs(second, label, code="1234", dataset_sha256="e" * 64)
    records.append(read_records(second.folder))
    both = ((TASK, "iql"), (TASK, "bc"))
    assert sorted(spec_changes(*records), key=lambda change: change.field) == [
        Change("code", "", '"1234"', both),
        Change("config.expectile", "", "0.9", both[:1]),
        Change("dataset_sha256", json.dumps("d" * 64), json.dumps("e" * 64), both),
    ]
    assert spec_changes(records[0], records[0]) == []


def test_a_commit_is_the_other_sides_folder_as_it_was_committed(tmp_path: Path) -> None:
    repository = tmp_path / "repository"

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        command = ["git", "-C", str(repository), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    found = suite(repository / "results", BEFORE)
    folder = found.write()
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "before")
    before = git("rev-parse", "HEAD")
    change_specs(found, "iql", engine_version=2)
    text = printed(folder, before, tmp_path)
    assert "engine_version: 2 → 1  (pointmaze/umaze iql)" in text
    assert "config.expectile: 0.9 → not there" in text
    assert "+0.0 to +0.0" in text
    with pytest.raises(UserError, match="neither a folder of results nor a commit"):
        printed(folder, "no-such-commit", tmp_path)
    written = tmp_path / "written"
    with pytest.raises(UserError, match="not a valid object name"):  # and no option of git's
        printed(folder, f"--output={written}", tmp_path)
    assert not written.exists()


def test_two_names_that_are_no_results_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Neither a nor b is a folder of results"):
        printed("a", "b", tmp_path)


def test_results_without_a_run_in_common_are_refused(tmp_path: Path) -> None:
    first, second = suite(tmp_path / "a", BEFORE), suite(tmp_path / "b", BEFORE, seeds=[4, 5, 6, 7])
    with pytest.raises(UserError, match="have no finished run in common"):
        printed(first.write(), second.write(), tmp_path)


def test_both_sides_are_scored_by_the_firsts_protocol(tmp_path: Path) -> None:
    folder = suite(tmp_path / "a", BEFORE).write()
    best = suite(tmp_path / "b", BEFORE).write() / "suite.json"
    best.write_text(best.read_text().replace('"protocol": "last"', '"protocol": "best"'))
    differences = score_differences(read_records(folder), read_records(best.parent))["difference"]
    assert (differences == 0).all()
    assert "scores in points by 'best'" in printed(best.parent, folder, tmp_path)


def test_names_are_of_the_results_folder(
    make_suite: Callable[..., SuiteBuilder], tmp_path: Path
) -> None:
    make_suite(name="one", labels=["bc"]).write()
    text = printed("one", tmp_path / "one", tmp_path)
    assert "those of all cells that both have are equal" in text
