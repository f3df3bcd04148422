"""What tests of the harness share: a small dataset, suites on it, and the real command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.execution.draft import RunOptions
from harness.execution.plan import Plan
from harness.execution.prepare import nothing, prepare
from harness.runs.folder import RunFolder
from harness.runs.trial import Trial, group
from tests.harness.their_package import TheirPackage, forget

REPOSITORY = Path(__file__).resolve().parents[2]
TINY_TASK = {"pointmaze/umaze": {"transitions": 2000}}
TINY_CONFIG = {"hidden_dims": [16, 16], "batch_size": 16}


def tiny_suite(**changes: Any) -> dict[str, Any]:
    """A suite of seconds: behaviour cloning on 2000 transitions, uncompiled."""
    return {
        "name": "tiny",
        "title": "Tiny",
        "question": "Does it run?",
        "tasks": [TINY_TASK],
        "defaults": TINY_CONFIG,
        "algorithms": {"bc": {}},
        "seeds": 2,
        "training": {"steps": 40, "compile": False},
        "evaluation": {"every": 20, "episodes": 2},
    } | changes


@pytest.fixture(autouse=True)
def _other_machines_stay_in_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts a Ray of their own forbids it, and what they start afterwards, clusters."""
    alone = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    monkeypatch.setenv(alone, "1")  # for it to be restored
    monkeypatch.delenv(alone)


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def data_home(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder of this test and of the processes it starts; its datasets are made once."""
    monkeypatch.setenv("HARNESS_DATA", str(shared_data))
    return shared_data


@pytest.fixture
def write_suite(tmp_path: Path) -> Callable[..., Path]:
    """Write a tiny suite with some keys changed, or the text given; returns its path."""

    def write(text: str | None = None, **changes: Any) -> Path:
        path = tmp_path / "tiny.yaml"
        path.write_text(
            yaml.safe_dump(tiny_suite(**changes), sort_keys=False) if text is None else text
        )
        return path

    return write


@pytest.fixture
def plan_of(
    data_home: Path,
    tmp_path: Path,
    write_suite: Callable[..., Path],
) -> Callable[..., Plan]:
    """The plan of a tiny suite with some keys changed, with results in a temporary folder.

    Its options are those of `RunOptions`, and what the executor is `lacking`.
    """

    def plan(options: dict[str, Any] | None = None, **changes: Any) -> Plan:
        path, asked = write_suite(**changes), dict(options or {})
        lacking = asked.pop("lacking", nothing)
        results, asked_for = tmp_path / "results", RunOptions(**asked)
        return prepare(path, results, lambda *_: None, asked_for, lacking=lacking)

    return plan


@pytest.fixture
def their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TheirPackage]:
    """A third party's package with the method `theirs`, here and in processes started."""
    site = tmp_path / "site"
    package = TheirPackage(site)
    monkeypatch.syspath_prepend(site)
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    yield package
    forget()


def trials_of(plan: Plan, seeds_per_trial: int = 4, cpus: int = 1) -> list[Trial]:
    """The trials of everything that is left of a plan, in a new invocation."""
    return group(
        plan.unfinished(),
        seeds_per_trial,
        suite_dir=plan.directory,
        invocation=uuid.uuid4().hex,
        command="python -m harness run tiny.yaml",
        executor="local",
        cpus=cpus,
    )


@dataclass(frozen=True)
class CommandLine:
    """Runs `python -m harness` as a user would, with results in `results`."""

    results: Path

    def __call__(self, *arguments: str | Path, code: int = 0) -> str:
        """Everything printed by the command, which must end with exit code `code`."""
        with self.start(*arguments) as process:
            printed, _ = process.communicate(timeout=200)
        assert process.returncode == code, printed
        assert "Traceback" not in printed
        return printed

    @contextmanager
    def start(self, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
        """The running command, which ends with the `with` at the latest, also if a test fails."""
        command, *rest = map(str, arguments)
        where = ["--results", str(self.results)] if command in {"run", "report", "plan"} else []
        with subprocess.Popen(
            [sys.executable, "-m", "harness", command, *rest, *where],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
        ) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def harness(
    data_home: Path,
    tmp_path: Path,
) -> CommandLine:
    """The command line, with data and results of this test."""
    return CommandLine(tmp_path / "results")


def checkpoint_step(folder: RunFolder) -> int:
    """The step of a run's latest checkpoint; 0 without one."""
    spec = folder.path / "spec.json"
    if not spec.exists():
        return 0
    checkpoint, _ = folder.read_checkpoint(json.loads(spec.read_text())["hash"])
    return checkpoint.step if checkpoint else 0


def evaluation_files(results: Path) -> dict[str, bytes]:
    """The bytes of every evaluations.csv under `results`, by relative path."""
    files = sorted(results.rglob("evaluations.csv"))
    return {str(path.relative_to(results)): path.read_bytes() for path in files}


def processes_of(variable: str, word: str = "") -> list[int]:
    """Ids of processes that were started with a variable, as in `NAME=value`.

    word: that their command line must have in it.
    """
    found = []
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_text(errors="replace")
            environment = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if word in command and variable.encode() in environment:
            found.append(int(process.name))
    return found
