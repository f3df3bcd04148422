"""A source that has changed is noticed, named, and taken in again when asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from harness import data
from harness.commands.data import data_app
from harness.data import dataset_lock
from harness.data.sources import download_lock
from harness.errors import UserError
from harness.execution.plan import Plan
from harness.tasks import d4rl_files, get_task
from tests.harness.data.tiny import DATASET, episode, leave_d4rl, leave_minari

TASK = get_task("local/hopper/medium")
ANEW = f"python -m harness data make {DATASET} --force"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> Path:
    monkeypatch.setenv("HARNESS_LOCAL_DATA", str(tmp_path / "local"))
    monkeypatch.setenv("HARNESS_D4RL_DATA", str(tmp_path / "d4rl"))
    monkeypatch.setattr(d4rl_files, "CHECKSUMS", {})
    return tmp_path / "local"


def forced(task_id: str) -> str:
    """What the command that takes a source in again says on stderr."""
    result = CliRunner().invoke(data_app, ["make", task_id, "--force"], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stderr


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_source_repaired_after_a_refusal_is_taken_by_the_same_command(here: Path) -> None:
    leave_minari(here, [episode(rewards=np.full(4, np.nan))])
    with pytest.raises(UserError, match="give the same command again"):
        data.prepare(TASK)
    leave_minari(here, [episode()])
    assert len(data.prepare(TASK).transitions) == 4


@pytest.mark.parametrize("dataset", ["minari", "d4rl"])
def test_a_changed_source_is_refused_and_taken_in_anew_by_the_command_named(
    dataset: str, here: Path, tmp_path: Path
) -> None:
    def leave(rewards: Any) -> Path:
        if dataset == "d4rl":
            return leave_d4rl(tmp_path / "d4rl", rewards=np.repeat(rewards, 5))
        return leave_minari(here, [episode(rewards=rewards)])

    task = TASK if dataset == "minari" else get_task("gym/hopper/medium")
    path = leave(np.arange(4.0))
    before, former = data.prepare(task), sha256(path)
    leave(np.arange(4.0) + 1)
    with pytest.raises(UserError) as error:
        data.prepare(task)
    told = str(error.value)
    assert f"{path} has changed since it was taken in: its sha256 is {sha256(path)[:16]}…" in told
    assert f"was {former[:16]}…" in told
    assert told.endswith(f"python -m harness data make {task.dataset.id} --force")

    locked = json.loads(dataset_lock.lock_file().read_text())[task.dataset.id]["rewards"]
    replaced = forced(task.id)
    now = json.loads(dataset_lock.lock_file().read_text())[task.dataset.id]["rewards"]
    assert locked != now
    assert f"'rewards' of {task.dataset.id} was sha256 {locked}, and is now {now}." in replaced
    assert f"was sha256 {former}, and is now {sha256(path)}." in replaced
    assert "'actions'" not in replaced  # they are the same
    after = data.prepare(task)
    assert before.sha256 != after.sha256
    assert float(after.transitions.rewards.sum()) > float(before.transitions.rewards.sum())


def test_a_source_that_is_broken_anew_leaves_all_as_it_was(here: Path) -> None:
    leave_minari(here, [episode()])
    sound = data.prepare(TASK).sha256
    locks = [file.read_bytes() for file in (dataset_lock.lock_file(), download_lock.lock_file())]
    leave_minari(here, [episode(rewards=np.full(4, np.nan))])
    with pytest.raises(UserError, match="holds nan in step 0"):
        data.prepare(TASK, force=True)
    assert locks == [
        file.read_bytes() for file in (dataset_lock.lock_file(), download_lock.lock_file())
    ]
    assert data.ensure(TASK).sha256 == sound


def test_a_source_that_is_gone_is_not_missed(here: Path) -> None:
    path = leave_minari(here, [episode()])
    sound = data.prepare(TASK).sha256
    path.unlink()
    assert data.prepare(TASK).sha256 == sound


def test_a_dataset_that_is_gone_does_not_hide_that_its_source_has_changed(
    here: Path, root: Path
) -> None:
    leave_minari(here, [episode()])
    data.prepare(TASK)
    (root / "minari" / DATASET / "manifest.json").unlink()
    leave_minari(here, [episode(), episode()])
    with pytest.raises(UserError, match=f"has changed since .*files.lock.json.*{ANEW}"):
        data.prepare(TASK)
    assert "is now" in forced(TASK.id)


def test_what_was_made_of_the_same_file_before_is_refused_too(here: Path) -> None:
    leave_minari(here, [episode()])
    part = get_task(TASK.id, {"transitions": 4})
    for task in (TASK, part):
        data.prepare(task)
    leave_minari(here, [episode(), episode()])
    forced(TASK.id)
    with pytest.raises(UserError, match=f"has changed .*data make {part.dataset.id} --force"):
        data.prepare(part)


def test_runs_of_the_former_data_are_not_mixed_with_those_of_the_new(
    here: Path, monkeypatch: pytest.MonkeyPatch, plan_of: Callable[..., Plan], root: Path
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(root))
    leave_minari(here, [episode()])
    before = plan_of(tasks=[TASK.id]).runs
    leave_minari(here, [episode(rewards=np.ones(4))])
    with pytest.raises(UserError, match=f"main_data.hdf5 has changed .*{ANEW}"):
        plan_of(tasks=[TASK.id])
    forced(TASK.id)
    after = plan_of(tasks=[TASK.id]).runs
    assert [run.seed for run in before] == [run.seed for run in after]
    assert not {run.hash for run in before} & {run.hash for run in after}
    assert not {run.folder for run in before} & {run.folder for run in after}
