"""Importing Minari datasets that are here already, and D4RL's rules applied to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import gymnasium_robotics
import numpy as np
import pytest

from algorithms.transitions import Transitions
from harness import data
from harness.data import minari_format
from harness.data.store import DatasetFolder
from harness.errors import UserError
from harness.tasks import get_task
from tests.conftest import LOCAL_DATA, needs_local_data

gym.register_envs(gymnasium_robotics)


def episode(
    obs_dim: int, action_dim: int, steps: int, *, terminal: bool = False, seed: int = 0
) -> minari_format.EpisodeArrays:
    """Random numbers, in [-1, 1] but for actions."""
    rng = np.random.default_rng(seed)
    last = np.arange(steps) == steps - 1
    return {
        "observations": rng.uniform(-1, 1, (steps + 1, obs_dim)),
        "actions": rng.uniform(-1.5, 1.5, (steps, action_dim)).astype(np.float32),
        "rewards": rng.uniform(-1, 1, steps),
        "terminations": last & terminal,
        "truncations": last & (not terminal),
        "infos/success": np.zeros(steps + 1, np.bool_),
    }


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> Path:
    """The folder of local datasets, still empty."""
    monkeypatch.setenv("HARNESS_LOCAL_DATA", str(tmp_path / "local"))
    return tmp_path / "local"


def leave(
    folder: Path, dataset_id: str, environment: str, episodes: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Write a dataset as Minari would; returns its episodes."""
    minari_format.write(folder / dataset_id / "data", episodes)
    metadata = {
        "env_spec": gym.spec(environment).to_json(),
        "algorithm_name": "noise",
        "description": f"Numbers for {dataset_id}.",
    }
    (folder / dataset_id / "data" / "metadata.json").write_text(json.dumps(metadata))
    return episodes


def returns(rows: Transitions) -> list[float]:
    """Of every episode."""
    ends = rows.episode_ends()
    sums = np.add.reduceat(rows.rewards.astype(np.float64), np.concatenate([[0], ends[:-1]]))
    return [float(value) for value in sums]


def test_medium_expert_is_both_one_after_the_other(here: Path) -> None:
    medium = [episode(11, 3, n, terminal=n == 5, seed=n) for n in (5, 7)]
    expert = [episode(11, 3, 4, seed=1)]
    leave(here, "local/hopper/medium-v0", "Hopper-v5", medium)
    leave(here, "local/hopper/expert-v0", "Hopper-v5", expert)
    task = get_task("local/hopper/medium-expert")
    loaded = data.ensure(task)
    rows, both = loaded.transitions, medium + expert
    assert rows.episode_ends().tolist() == [5, 12, 16]
    for name, column in (("actions", rows.actions), ("rewards", rows.rewards)):
        expected = np.concatenate([part[name] for part in both]).astype(np.float32)
        if name == "actions":
            assert np.abs(expected).max() > 1
            expected = expected.clip(-1, 1)
        else:
            expected[4] += 1.0  # the healthy reward of the step that fell
        np.testing.assert_allclose(column, expected, rtol=0, atol=1e-6)
    first, second = medium[0]["observations"], expert[0]["observations"]
    np.testing.assert_array_equal(rows.observations[:5], first[:-1].astype(np.float32))
    np.testing.assert_array_equal(rows.next_observations[12:], second[1:].astype(np.float32))
    assert rows.terminals.tolist() == [0.0] * 4 + [1.0] + [0.0] * 11
    assert np.flatnonzero(rows.timeouts).tolist() == [11, 15]
    assert [*loaded.manifest["dataset"]["sources"]] == [
        f"local/hopper/{level}-v0/main_data.hdf5" for level in ("medium", "expert")
    ]
    (problem,) = data.verify(task)  # of random numbers, only the rewards can be told from real ones
    assert "not what its observations say" in problem


def test_a_number_of_transitions_is_shared_out_in_whole_episodes(here: Path) -> None:
    for level, length in (("medium", 5), ("expert", 4)):
        episodes = [episode(11, 3, length, seed=i) for i in range(4)]
        leave(here, f"local/hopper/{level}-v0", "Hopper-v5", episodes)

    def lengths(transitions: int) -> list[int]:
        task = get_task("local/hopper/medium-expert", {"transitions": transitions})
        ends = data.ensure(task).transitions.episode_ends()
        return np.diff(ends, prepend=0).tolist()  # type: ignore[no-any-return]

    assert lengths(20) == [5, 5, 4, 4]
    assert lengths(24) == [5, 5, 4, 4, 4]
    assert lengths(1) == [5, 4]  # at least one episode each
    assert lengths(1000) == [5] * 4 + [4] * 4


def test_what_follows_the_pens_drop_is_left_out(here: Path) -> None:
    kept, dropped = episode(45, 24, 6, seed=1), episode(45, 24, 6, seed=2)
    for arrays in (kept, dropped):
        arrays["observations"][:, 26] = 0.2
    dropped["observations"][3:, 26] = 0.07  # after the third step
    leave(here, "local/pen/expert-v0", "AdroitHandPen-v1", [kept, dropped, kept])
    rows = data.ensure(get_task("local/pen/expert")).transitions
    assert rows.episode_ends().tolist() == [6, 9, 15]
    assert np.flatnonzero(rows.terminals).tolist() == [8]
    assert np.flatnonzero(rows.timeouts).tolist() == [5, 14]
    expected = [kept["rewards"].sum(), dropped["rewards"][:3].sum(), kept["rewards"].sum()]
    np.testing.assert_allclose(returns(rows), expected, atol=1e-6)


def test_a_dataset_that_is_not_here_fails_with_what_to_set(here: Path, root: Path) -> None:
    path = here / "local/door/human-v0/data/main_data.hdf5"
    with pytest.raises(UserError, match=rf"no {path}\. .* set HARNESS_LOCAL_DATA"):
        data.ensure(get_task("local/door/human"))
    assert not list(root.glob("minari/**/main_data.hdf5"))


def test_a_damaged_dataset_is_explained(here: Path) -> None:
    leave(here, "local/door/human-v0", "AdroitHandDoor-v1", [episode(39, 28, 5)])
    file = here / "local/door/human-v0/data/main_data.hdf5"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"main_data.hdf5 cannot be read .* Copy it anew"):
        data.ensure(get_task("local/door/human"))


@needs_local_data
@pytest.mark.parametrize(
    ("task_id", "episodes", "steps", "mean_return"),
    # As their README has them, with D4RL's sign of the distance term.
    [
        ("local/door/cloned", 87, 20_000, 287.4),
        ("local/door/expert", 25, 5_000, 2623.2),
        ("local/door/human", 25, 6_729, 795.9),
        ("local/hammer/expert", 25, 5_000, 14294.1),
        ("local/relocate/expert", 25, 5_000, 4216.6),
    ],
)
def test_returns_of_the_local_datasets_have_d4rls_sign(
    task_id: str,
    episodes: int,
    steps: int,
    mean_return: float,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HARNESS_LOCAL_DATA", str(LOCAL_DATA))
    rows = data.ensure(get_task(task_id)).transitions
    assert len(rows) == steps
    assert len(returns(rows)) == episodes
    assert np.mean(returns(rows)) == pytest.approx(mean_return, abs=0.1)


@pytest.mark.parametrize(
    "recorded",
    [
        {"id": "trap:Trap-v0", "kwargs": {}, "max_episode_steps": 5},
        {"id": "Trap-v0", "entry_point": "trap:Trap", "kwargs": {}, "max_episode_steps": 5},
        {"id": "Hopper-v5", "kwargs": {"xml_file": "/trap.xml"}, "max_episode_steps": 1000},
        {"id": None},
    ],
)
def test_what_a_file_says_it_was_recorded_in_is_never_imported(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: dict[str, Any]
) -> None:
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    leave(here, "local/hopper/medium-v0", "Hopper-v5", [episode(11, 3, 5)])
    path = here / "local/hopper/medium-v0/data/metadata.json"
    metadata = json.loads(path.read_text()) | {"env_spec": json.dumps(recorded)}
    path.write_text(json.dumps(metadata))
    task = get_task("local/hopper/medium")
    assert len(data.ensure(task).transitions) == 5
    written = json.loads((DatasetFolder.of(task).data / "metadata.json").read_text())
    assert json.loads(written["env_spec"])["id"] == "Hopper-v5"
    assert "trap" not in written["env_spec"]
    name = recorded["id"] or "an environment without a name"
    assert (f"Recorded in {name};" in written["description"]) == (name != "Hopper-v5")
