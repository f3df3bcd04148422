"""What is odd about a dataset, and no error, is said when it comes in and by whoever shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from harness import data
from harness.commands.data import data_app
from harness.data.card import card
from harness.data.catalog import datasets
from harness.data.remarks import CLIPPED_ACTIONS, CONSTANT_REWARDS, remarks
from harness.tasks import get_task
from tests.harness.data.tiny import DATASET, episode, leave_minari

TASK = get_task("local/hopper/medium")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> Path:
    monkeypatch.setenv("HARNESS_LOCAL_DATA", str(tmp_path / "local"))
    return tmp_path / "local"


def told() -> list[str]:
    return [*remarks(data.ensure(TASK).manifest["dataset"])]


def clipped(steps: int, of: int) -> Any:
    """Actions of which one number in each of the first steps is 1.5."""
    actions = np.zeros((of, 3))
    actions[:steps, 1] = 1.5
    return actions


@pytest.mark.parametrize(
    ("actions", "ids"),
    [
        (clipped(1, 100), []),  # one percent
        (clipped(2, 100), [CLIPPED_ACTIONS]),
        (np.full((100, 3), -1 - 1e-7), []),  # as rounding leaves them
    ],
)
def test_more_than_one_percent_of_clipped_steps_is_worth_a_remark(
    actions: Any, ids: list[str], here: Path
) -> None:
    leave_minari(here, [episode(100, actions=actions)])
    assert told() == ids


def test_rewards_count_as_constant_only_if_all_episodes_have_the_same(here: Path) -> None:
    leave_minari(here, [episode(rewards=np.zeros(4)), episode(rewards=np.ones(4))])
    assert told() == []


def test_rewards_that_nobody_learns_from_may_be_constant(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = get_task("pointmaze/large", {"transitions": 300})
    manifest = data.prepare(task, workers=1).manifest["dataset"]
    assert "rewards" in manifest["arrays"]
    assert "constant_reward" not in manifest["intake"]


def test_they_are_said_on_stderr_by_verify_by_the_card_and_in_the_list(here: Path) -> None:
    # Only rewards of 1 and observations that stand still pass every other check.
    still = {"observations": np.zeros((5, 11)), "rewards": np.ones(4), "actions": clipped(4, 4)}
    leave_minari(here, [episode(**still)])
    sentences = (
        f"{DATASET}: the actions of 4 of its 4 steps (100.0%) were outside [-1, 1]",
        f"{DATASET}: every one of its 4 rewards is 1",
    )
    for command in ("make", "verify"):
        result = CliRunner().invoke(data_app, [command, TASK.id], catch_exceptions=False)
        assert result.exit_code == 0
        for sentence in sentences:
            assert f"warning: {sentence}" in result.stderr
    console = Console(width=400, record=True, quiet=False)
    console.print(card(TASK, data.ensure(TASK)))
    text = console.export_text()
    assert all(sentence in text for sentence in sentences)
    (row,) = (row for row in datasets() if row["id"] == DATASET)
    assert row["warnings"] == [CLIPPED_ACTIONS, CONSTANT_REWARDS]
