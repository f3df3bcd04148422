"""Too little memory in the middle of training, and a clock that jumps."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from harness.execution.plan import Plan
from harness.report import build_report
from tests.harness.conftest import REPOSITORY, evaluation_files
from tests.harness.execution.test_work import finish, states
from tests.harness.their_package import TheirPackage

PlanOf = Callable[..., Plan]
HUNGRY = """
import resource
import torch
from baselines.bc import BC

class Theirs(BC):
    def loss(self, nets, batch, noise):
        if batch.actions.shape[1] == 16:  # not where the method is tried before
            before = resource.getrlimit(resource.RLIMIT_AS)
            pages = int(open("/proc/self/statm").read().split()[0])
            resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + 2**26, before[1]))
            try:
                torch.ones(2**28)
            finally:
                resource.setrlimit(resource.RLIMIT_AS, before)
        return super().loss(nets, batch, noise)
"""


def test_a_run_that_gets_no_more_memory_fails_with_a_sentence_and_others_go_on(
    their_package: TheirPackage, plan_of: PlanOf
) -> None:
    their_package.write_method(HUNGRY)
    plan = plan_of(algorithms={"theirs": {}, "bc": {}}, seeds=1)
    finish(plan)
    assert states(plan) == ["failed", "done"]
    status = plan.folder(plan.runs[0]).status()
    assert status is not None
    assert status.error.startswith("there is not enough memory (")
    assert "\n" not in status.error


class Jumping(datetime):
    """A clock that goes a day back whenever it is read."""

    _days = itertools.count()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime(2026, 1, 1, tzinfo=tz) - timedelta(days=next(cls._days))


def test_a_clock_that_jumps_changes_no_byte_and_stops_nobody(
    plan_of: PlanOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of()
    finish(plan)
    whole = evaluation_files(plan.directory)
    (tmp_path / "results").rename(tmp_path / "before")
    jumps = itertools.count()
    monkeypatch.setattr("time.time", lambda: 1e9 * (-1) ** next(jumps))
    monkeypatch.setattr("harness.runs.status.datetime", Jumping)
    finish(plan)
    assert evaluation_files(plan.directory) == whole
    status = plan.folder(plan.runs[0]).status()
    assert status is not None
    assert datetime.fromisoformat(status.started) > datetime.fromisoformat(status.finished)
    assert 0 < status.wall_seconds < 1000
    plan.suite_file("python -m harness run tiny.yaml").write(plan.directory)
    assert not build_report(plan.directory).notes.failures


def wall_clocks(path: Path) -> Iterator[str]:
    """Where a file reads the time of day, which may jump, and not a monotonic clock."""
    clocks = ("time.time", "time.time_ns", "datetime.now", "datetime.today", "datetime.utcnow")
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in clocks:
            yield str(path.relative_to(REPOSITORY))


def test_the_time_of_day_is_shown_and_never_reckoned_with() -> None:
    """What reads it: the times that a status shows, before lines in a log, and of trackers."""
    rooms = ("algorithms", "baselines", "harness")
    files = (path for room in rooms for path in (REPOSITORY / room).rglob("*.py"))
    found = {place for path in files for place in wall_clocks(path)}
    shown = {"runs/status.py", "runs/trackers.py", "execution/progress.py"}
    assert found == {f"harness/{name}" for name in shown}
