"""A disk that fills and is freed, and one that may not be written: with real file systems."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from harness.execution.plan import Plan
from tests.harness.commands.test_cli import LOCAL, is_training, wait_for
from tests.harness.conftest import CommandLine, evaluation_files
from tests.harness.execution.test_work import finish

PlanOf = Callable[..., Plan]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB in memory; skips where this user may mount none."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk])
    if mounted.returncode:
        pytest.skip("mounting a file system needs more rights")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_ends_the_command_with_a_sentence_and_once_freed_costs_no_byte(
    plan_of: PlanOf, harness: CommandLine, small_disk: Path, tmp_path: Path
) -> None:
    evaluation = {"every": 1000, "episodes": 1}
    plan = plan_of(training={"steps": 3000, "compile": False}, evaluation=evaluation)
    suite = tmp_path / "tiny.yaml"
    finish(plan)
    whole = evaluation_files(tmp_path / "results")
    command = replace(harness, results=small_disk / "results")
    filler = small_disk / "filler"
    with command.start("run", suite, *LOCAL) as process:
        wait_for(lambda: is_training(command.results), process)
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(2**12))
        printed, _ = process.communicate(timeout=200)
    assert process.returncode == 1
    *_, last = printed.splitlines()
    assert last.startswith("error: the disk is full (")
    assert "Traceback" not in printed

    filler.unlink()
    command("run", suite, *LOCAL)
    assert evaluation_files(command.results) == whole
    assert not list(small_disk.rglob("*.tmp"))


@pytest.mark.parametrize("command", ["run", "report"])
def test_results_that_may_not_be_written_are_refused_with_a_sentence(
    plan_of: PlanOf, harness: CommandLine, small_disk: Path, tmp_path: Path, command: str
) -> None:
    plan = plan_of()
    finish(plan)
    plan.suite_file("python -m harness run tiny.yaml").write(plan.directory)
    shutil.copytree(tmp_path / "results", small_disk / "results")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    there = replace(harness, results=small_disk / "results")
    subject = [tmp_path / "tiny.yaml", *LOCAL] if command == "run" else ["tiny"]
    *_, last = there(command, *subject, code=1).splitlines()
    assert last.startswith("error: a file cannot be written or read (")
    assert "--results" in last
