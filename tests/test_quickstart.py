"""The shipped quickstart from end to end, shrunk, through both executors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.suite.schema import find_suite, load_suite

REPOSITORY = Path(__file__).resolve().parents[1]


def smoke(executor: str, folder: Path) -> dict[str, bytes]:
    """Run the quickstart; returns the evaluations it left, by path."""
    arguments = ["run", "suites/quickstart.yaml", "--smoke", "--executor", executor]
    result = subprocess.run(
        [sys.executable, "-m", "harness", *arguments, "--results", str(folder / executor)],
        cwd=REPOSITORY,
        env={**os.environ, "HARNESS_DATA": str(folder / "data")},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    suite, _ = load_suite(find_suite("quickstart"))
    results = folder / executor / "quickstart-smoke"
    table = (results / "table.md").read_text()
    for label in suite.algorithms:
        assert label in table
        assert label in result.stdout
    for name in ("table.csv", "table.tex", "report.html", "figures/curves.png"):
        assert (results / name).stat().st_size > 0
    files = {str(f.relative_to(results)): f.read_bytes() for f in results.rglob("evaluations.csv")}
    assert len(files) == 2 * len(suite.algorithms)
    return files


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_quickstart_runs_end_to_end_and_alike_in_both_executors(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    assert smoke("local", tmp_path) == smoke("ray", tmp_path)
