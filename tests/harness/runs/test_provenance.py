"""The state of the checkout that code is in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.runs import provenance
from harness.runs.provenance import core_count, git_state


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A committed file in a folder of a checkout that ignores `site`."""
    file = tmp_path / "checkout" / "package" / "method.py"
    file.parent.mkdir(parents=True)
    file.write_text("x = 1\n")
    checkout = file.parents[1]
    (checkout / ".gitignore").write_text("site/\n")
    (checkout / "other.txt").write_text("1\n")
    (checkout / "results").mkdir()
    (checkout / "results" / "table.csv").write_text("1\n")
    git(checkout, "init", "--quiet")
    git(checkout, "add", ".")
    git(checkout, "commit", "--quiet", "--message", "first")
    return file


def test_a_committed_file_is_clean(file: Path) -> None:
    commit = git(file.parent, "rev-parse", "HEAD")
    assert git_state(file) == {"commit": commit, "dirty": False}
    (file.parents[1] / "new.txt").touch()  # beside it, and not part of the commit
    assert git_state(file) == {"commit": commit, "dirty": False}


@pytest.mark.parametrize("changed", ["package/method.py", "other.txt"])
def test_a_checkout_with_changes_is_dirty(file: Path, changed: str) -> None:
    (file.parents[1] / changed).write_text("2\n")
    assert git_state(file)["dirty"] is True


def test_results_that_a_run_writes_anew_do_not_make_it_dirty(file: Path) -> None:
    (file.parents[1] / "results" / "table.csv").write_text("2\n")
    assert git_state(file)["dirty"] is False


def test_a_file_that_was_never_committed_is_dirty(file: Path) -> None:
    new = file.with_name("new.py")
    new.touch()
    assert git_state(new)["dirty"] is True


def test_an_ignored_file_is_of_no_commit(file: Path) -> None:
    installed = file.parents[1] / "site" / "method.py"
    installed.parent.mkdir()
    installed.touch()
    assert "commit" not in git_state(installed)
    assert "ignores" in git_state(installed)["unknown"]


def test_outside_git_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "method.py").touch()
    assert git_state(tmp_path / "method.py") == {"unknown": "it is in no git checkout"}


def test_why_git_tells_no_commit_is_recorded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own, for its tests
        assert "safe.directory" in git_state(file)["unknown"]
    monkeypatch.setenv("PATH", "")
    assert git_state(file) == {"unknown": "git is not installed, or does not answer"}


@pytest.mark.parametrize(
    ("limit", "cores"),
    [
        ("200000 100000", 2),
        ("50000 100000", 1),
        ("9900000 100000", 8),
        ("max 100000", 8),
        (None, 8),
    ],
)
def test_cores_are_those_that_a_container_grants(
    limit: str | None, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "_CGROUP", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    if limit is not None:
        (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert core_count() == cores
