"""Minari datasets that cannot be trained on: one sentence with file and place, nothing locked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from harness import data
from harness.errors import UserError
from harness.tasks import get_task
from tests.harness.data.tiny import METADATA, Arrays, endless, episode, leave_minari

TASK = get_task("local/hopper/medium")
GROUP = {"observations": None, "observations/goal": np.zeros((5, 2))}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> Path:
    """The folder of local datasets, still empty; its name has a space and an umlaut."""
    folder = tmp_path / "my dätasets"
    monkeypatch.setenv("HARNESS_LOCAL_DATA", str(folder))
    return folder


def refused(named: Path, root: Path) -> str:
    """Why the dataset is not taken in; the message names the file and nothing is left behind."""
    with pytest.raises(UserError) as error:
        data.ensure(TASK)
    message = str(error.value)
    assert str(named) in message
    assert "\n" not in message
    assert not list(root.glob("*.lock.json"))
    assert not list(root.glob("minari/**/main_data.hdf5"))
    return message


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"actions": np.ones((4, 3), np.uint8)}, "episode 1: 'actions' holds uint8, as discrete"),
        ({"actions": np.arange(4)}, "episode 1: 'actions' holds int64, as discrete"),
        ({"actions": np.float32(1)}, "'actions' of episode_1 is no array"),
        ({"rewards": np.zeros(3)}, "episode 1: it has 4 actions, and 'rewards' has the shape [3]"),
        ({"rewards": np.float64(1)}, "'rewards' of episode_1 is no array"),
        ({"rewards": h5py.Empty("f8")}, "'rewards' of episode_1 is no array"),
        ({"rewards": ["a"] * 4}, "'rewards' of episode_1 holds Python objects"),
        ({"rewards": np.array([b"a"] * 4)}, "'rewards' of episode_1 holds |S1 and not numbers"),
        ({"rewards": np.zeros(4, complex)}, "'rewards' of episode_1 holds complex128"),
        ({"rewards": endless}, "shape [10000000000000], for which there is not enough memory"),
        ({"rewards": np.array([0, 1e300, 0, 0])}, "episode 1: 'rewards' holds 1e+300 in step 1"),
        ({"rewards": None}, "episode 1 has no 'rewards'"),
        ({"terminations": None}, "episode 1 has no 'terminations'"),
        ({"truncations": np.zeros(4, bool)}, "episode 1: its last step (3) is neither"),
        ({"terminations": np.arange(4) == 1}, "episode 1: it ends at step 1 and goes on to step 3"),
        ({"terminations": np.arange(4)}, "episode 1: 'terminations' holds 2 in step 2"),
        ({"observations": np.zeros((4, 11))}, "episode 1: it has 4 actions and 4 of"),
        ({"observations": np.zeros((6, 11))}, "episode 1: it has 4 actions and 6 of"),
        ({"observations": np.zeros((5, 12))}, "episode 1: a step of 'observations' has the shape"),
        ({"observations": np.zeros((5, 8, 8, 3))}, "'observations' have the shape [5, 8, 8, 3]"),
        (GROUP, "'observations' of episode_1 is not one array of numbers but a group, of 'goal'"),
    ],
)
def test_the_file_and_the_place_are_named(
    changes: Arrays, problem: str, here: Path, root: Path
) -> None:
    path = leave_minari(here, [episode(), episode(**changes)])
    assert problem in refused(path, root)


def test_a_dataset_of_another_environment_is_named(here: Path, root: Path) -> None:
    path = leave_minari(here, [episode(observations=np.zeros((5, 17)))])
    assert "have 17 and 3 numbers, those of Hopper-v5 11 and 3" in refused(path, root)


def test_a_dataset_without_episodes_is_named(here: Path, root: Path) -> None:
    assert "it has no episodes" in refused(leave_minari(here, []), root)


def test_an_empty_file_is_named(here: Path, root: Path) -> None:
    path = leave_minari(here, [])
    path.write_bytes(b"")
    assert "cannot be read" in refused(path, root)


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        (METADATA | {"env_spec": "[1]"}, "'env_spec' is not as Minari writes it"),
        (METADATA | {"env_spec": {"id": "Hopper-v5"}}, "'env_spec' is not as Minari writes it"),
        (METADATA | {"env_spec": '{"id": ["Hopper-v5"]}'}, "'env_spec.id' is not as"),
        (METADATA | {"env_spec": '{"id": "Hopper-v5", "kwargs": 1}'}, "'env_spec.kwargs' is not"),
        (
            METADATA | {"env_spec": '{"id": "PointMaze_UMaze-v3", "kwargs": {"maze_map": 7}}'},
            "PointMaze_UMaze-v3 cannot be made with the arguments of its 'env_spec'",
        ),
        (METADATA | {"description": ["a"]}, "'description' is not as Minari writes it"),
        ([], "what it holds is not as Minari writes it"),
    ],
)
def test_metadata_of_other_types_are_named(
    metadata: Any, problem: str, here: Path, root: Path
) -> None:
    path = leave_minari(here, [episode()], metadata)
    assert problem in refused(path.with_name("metadata.json"), root)


def test_metadata_that_are_missing_are_named(here: Path, root: Path) -> None:
    path = leave_minari(here, [episode()]).with_name("metadata.json")
    path.unlink()
    assert "cannot be read" in refused(path, root)


@pytest.mark.usefixtures("root")
def test_an_environment_of_null_is_the_one_the_task_is_scored_in(here: Path, root: Path) -> None:
    leave_minari(here, [episode()], METADATA | {"env_spec": None})
    data.ensure(TASK)
    (path,) = root.glob("minari/**/metadata.json")
    assert json.loads(json.loads(path.read_text())["env_spec"])["id"] == "Hopper-v5"


@pytest.mark.parametrize(
    "changes",
    [
        {"rewards": np.arange(4)},
        {"observations": np.zeros((5, 11), np.uint8)},
        {"terminations": np.zeros(4, np.uint8), "truncations": np.eye(4)[3]},
        {"observations": np.zeros((5, 11), ">f4"), "rewards": np.arange(4.0)[::-1]},
        {"infos/x": np.full(5, np.nan)},
    ],
    ids=["int rewards", "uint8 observations", "flags as numbers", "byte order", "NaN in infos"],
)
def test_numbers_of_other_types_are_taken_and_pass_the_checks_of_types(
    changes: Arrays, here: Path
) -> None:
    arrays = episode(**changes)
    leave_minari(here, [arrays])
    rows = data.ensure(TASK).transitions
    np.testing.assert_array_equal(rows.observations, arrays["observations"][:-1].astype("f4"))
    np.testing.assert_array_equal(rows.rewards, arrays["rewards"].astype("f4"))
    assert rows.timeouts.tolist() == [0, 0, 0, 1]
    assert not [line for line in data.verify(TASK) if "'" in line]  # only that rewards are made up


def test_a_terminal_step_at_the_time_limit_is_terminal(here: Path) -> None:
    leave_minari(here, [episode(terminations=np.arange(4) == 3)])
    rows = data.ensure(TASK).transitions
    assert (rows.terminals[-1], rows.timeouts[-1]) == (1, 0)
