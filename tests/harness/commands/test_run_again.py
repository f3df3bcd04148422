"""A command that is given again where everything is done, and where results lead elsewhere."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from harness.commands.run import run_suite
from harness.errors import UserError
from harness.execution.draft import AS_WRITTEN
from harness.execution.plan import Plan
from harness.execution.work import work
from tests.harness.conftest import trials_of

Again = Callable[[], str]


@pytest.fixture
def again(write_suite: Callable[..., Path], plan_of: Callable[..., Plan], tmp_path: Path) -> Again:
    """Gives the command of a finished suite; returns what it prints."""
    for trial in trials_of(plan_of()):
        list(work(trial))
    suite = write_suite()

    def command() -> str:
        printed = io.StringIO()
        code = run_suite(
            str(suite),
            AS_WRITTEN,
            executor="local",
            address=None,
            results=tmp_path / "results",
            command="",
            console=Console(file=printed, width=200),
        )
        assert code == 0
        return printed.getvalue()

    return command


def test_the_report_of_many_runs_is_made_again_only_if_something_has_changed(
    again: Again, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "page " in again()
    assert "page " in again()  # of few runs it takes no time
    monkeypatch.setattr("harness.commands.run._MANY", 2)
    assert "Nothing has changed since the report" in again()
    page = tmp_path / "results/tiny/report.html"
    status = next(page.parent.rglob("status.json"))
    made = page.stat().st_mtime
    os.utime(status, (made + 1, made + 1))
    assert "page " in again()
    page.unlink()
    assert "page " in again()


@pytest.mark.parametrize("name", ["tiny/figures", "tiny/logs", "pretrained"])
def test_nothing_is_written_through_a_link(again: Again, tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "results" / name).symlink_to(elsewhere)
    with pytest.raises(UserError, match=rf"{name} is a link, and results are not written through"):
        again()
    assert list(elsewhere.iterdir()) == []
