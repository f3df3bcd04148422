"""A short form of `python -m tests.chaos`, and that it would notice what it looks for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import chaos


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_after_kills_at_random_nothing_differs_and_nothing_is_left() -> None:
    outcome = chaos.disturb("local", kills=4, seed=0, longest=4.0)
    assert outcome.wrong == []
    assert outcome.killed.total() == 4


def test_every_difference_is_named(tmp_path: Path) -> None:
    expected, found = tmp_path / "expected", tmp_path / "found"
    for folder, metrics in ((expected, "1\n"), (found, "2\n")):
        (folder / "seed-0").mkdir(parents=True)
        (folder / "seed-0" / "metrics.csv").write_text(metrics)
        (folder / "seed-0" / "timings.csv").write_text(folder.name)
        (folder / f"only-{folder.name}.csv").touch()
    wrong = chaos.differences(chaos.tables(expected), chaos.tables(found))
    assert wrong == [
        "missing: only-expected.csv",
        "left over: only-found.csv",
        "different: seed-0/metrics.csv",
    ]


def test_a_process_that_is_left_is_found_ended_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chaos, "_GONE_SECONDS", 0.5)
    storm = chaos.Chaos(tmp_path, "local", seed=0, longest=1.0)
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"],
        env={**os.environ, **storm.environment},
    )
    storm.bury()
    storm.end()
    assert child.wait(timeout=10) != 0
    [sentence] = storm.outcome.wrong
    assert "time.sleep(600)" in sentence
