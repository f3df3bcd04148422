"""The tables a run leaves."""

from __future__ import annotations

import math
from pathlib import Path

from harness.rollouts.rollout import Episode
from harness.runs.folder import RunFolder
from harness.runs.tables import RunTables
from tests.harness.runs.test_spec import BASE


def test_they_hold_floats_in_full_and_nothing_that_depends_on_the_platform(tmp_path: Path) -> None:
    task = BASE.task.model_copy(
        update={"reference": BASE.task.reference.model_copy(update={"min": 0.0, "max": 1.0})}
    )
    tables = RunTables(RunFolder(tmp_path), task, 7)
    episode = Episode(7, 0, 0.1 + 0.2, 5, terminated=True, success=math.nan)
    tables.add(20, "noise-0", [episode], (1.5, 0.25, 0.125))
    tables.close_step(20, 30.0, {"b/loss": 1e-9, "a/loss": float("nan")})
    expected = {
        "evaluations": b"7,20,noise-0,0,0.30000000000000004,5,true,nan,30.000000000000004\n",
        "metrics": b"7,20,a/loss,nan\n7,20,b/loss,1e-09\n",
        "timings": b"20,noise-0,1.5,0.25,0.125\n",
    }
    for name, rows in expected.items():
        header, _, body = (tmp_path / f"{name}.csv").read_bytes().partition(b"\n")
        assert header.startswith((b"seed,step", b"step"))
        assert body == rows


def test_what_a_checkpoint_keeps_of_them_becomes_the_same_files(tmp_path: Path) -> None:
    first = RunTables(RunFolder(tmp_path / "a"), BASE.task, 7)
    for step in (20, 40):
        first.add(step, "noise-0", [Episode(7, 0, 1.5, 5, False, 1.0)], (1.5, 0.25, 0.125))
        first.close_step(step, 30.0, {"a/loss": 0.1})
    second = RunTables(RunFolder(tmp_path / "b"), BASE.task, 7)
    second.load(first.content(), 40, "noise-0")
    for name in ("evaluations", "metrics"):
        a, b = (tmp_path / folder / f"{name}.csv" for folder in "ab")
        assert a.read_bytes() == b.read_bytes()
    assert second.evaluated_step == 40
