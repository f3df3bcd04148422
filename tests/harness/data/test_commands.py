"""`python -m harness data …`, as typed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from harness.commands.data import data_app
from harness.data.catalog import datasets, resolve
from harness.data.recipes.visit_map import visit_map
from harness.errors import UserError
from harness.tasks.mazes import MAZES


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(data_app, list(arguments), catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_make_verify_and_info_in_turn(root: Path) -> None:
    code, output = run("make", "pointmaze/umaze", "--transitions", "1500", "--workers", "1")
    assert code == 0
    assert "pointmaze/umaze-1500-v0 is ready: 1,500 transitions" in output
    made = (root / "minari/pointmaze/umaze-1500-v0/manifest.json").stat().st_mtime_ns

    run("make", "pointmaze/umaze-1500-v0")
    kept = (root / "minari/pointmaze/umaze-1500-v0/manifest.json").stat().st_mtime_ns
    run("make", "pointmaze/umaze-1500-v0", "--force")
    forced = (root / "minari/pointmaze/umaze-1500-v0/manifest.json").stat().st_mtime_ns
    assert made == kept < forced

    assert run("verify", "pointmaze/umaze", "--transitions", "1500")[0] == 0
    code, output = run("info", "pointmaze/umaze-1500-v0")
    assert code == 0
    assert "1,500" in output
    assert "####################" in output
    assert "return of an episode, and how many have it" in output
    assert "action 1  █" in output


def test_verify_fails_on_a_damaged_dataset(root: Path) -> None:
    run("make", "pointmaze/umaze-1500-v0")
    (rows,) = root.glob("cache/*/rows.npy")
    rows.write_bytes(rows.read_bytes()[:-4] + b"abcd")
    code, output = run("verify", "pointmaze/umaze-1500-v0")
    assert code == 1
    assert "is not what its manifest says" in output


@pytest.mark.usefixtures("root")
def test_fetch_says_that_the_data_are_made_and_how() -> None:
    with pytest.raises(UserError, match=r"not fetched but made.*data make pointmaze/umaze-v0"):
        run("fetch", "pointmaze/umaze")


@pytest.mark.usefixtures("root")
def test_mistakes_are_explained() -> None:
    with pytest.raises(UserError, match=r"Did you mean 'pointmaze/medium"):
        run("make", "pointmaze/mediun")
    with pytest.raises(UserError, match="already says its size and seed"):
        run("make", "pointmaze/umaze-20k-v0", "--seed", "1")
    with pytest.raises(UserError, match="at least 1, found -3"):
        run("make", "pointmaze/umaze", "--transitions", "-3")
    with pytest.raises(UserError, match="not made yet"):
        run("info", "pointmaze/large")
    assert run("make")[0] == 2


def test_the_catalogue_knows_defaults_and_what_is_on_disk(root: Path) -> None:
    absent = datasets()
    assert {row["state"] for row in absent} == {"absent"}
    run("make", "pointmaze/open", "--transitions", "900", "--seed", "2")
    rows = {row["id"]: row for row in datasets()}
    assert len(rows) == len(absent) + 1
    assert rows["pointmaze/open-900-seed2-v0"] == {
        "id": "pointmaze/open-900-seed2-v0",
        "tasks": ["pointmaze/open", "pointmaze/open-dense"],
        "transitions": 900,
        "state": "made",
        "warnings": [],
        "path": str(root / "minari/pointmaze/open-900-seed2-v0"),
    }


def test_a_dense_task_id_means_the_dense_task() -> None:
    assert resolve("pointmaze/umaze-dense", transitions=10).id == "pointmaze/umaze-dense"


def test_the_map_shows_where_the_steps_are() -> None:
    maze = MAZES["umaze"]
    positions = [maze.centre((3, 1))] * 3 + [maze.centre((1, 1))]
    assert visit_map(maze, np.array(positions, np.float32)).splitlines() == [
        "####################",
        "####[25] 0   0  ####",
        "############ 0  ####",
        "#### 75  0   0  ####",
        "####################",
    ]
