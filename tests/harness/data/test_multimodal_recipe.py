"""Data of the multimodal tasks: what is stored, and that it is the behaviour the formulas say."""

from __future__ import annotations

from pathlib import Path

import minari
import numpy as np
import pytest

from harness import data
from harness.tasks import get_task, make_environment
from harness.tasks.multimodal_geometry import ActionModes, turned, turned_back

TASK = get_task("multimodal/modes-4-dim-8", {"transitions": 20_500, "data_seed": 2})


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("multimodal")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_DATA", str(folder))
        data.ensure(TASK)
    return folder


@pytest.fixture
def rows(stored: Path, monkeypatch: pytest.MonkeyPatch) -> data.LoadedData:
    monkeypatch.setenv("HARNESS_DATA", str(stored))
    return data.ensure(TASK, make=False)


def test_every_step_is_an_episode_that_terminates(rows: data.LoadedData) -> None:
    assert len(rows.transitions) == 20_500
    assert rows.transitions.terminals.all()
    assert not rows.transitions.timeouts.any()
    assert data.verify(TASK) == []


def test_rewards_are_those_of_the_environment(rows: data.LoadedData) -> None:
    env, seen = make_environment(TASK), rows.transitions
    for index in range(100):
        canonical = turned_back(seen.observations[[index]], seen.actions[[index]])
        observation, _ = env.reset(seed=index)
        reward = env.step(turned(observation[None], canonical)[0].astype(np.float32))[1]
        assert reward == pytest.approx(float(seen.rewards[index]), abs=1e-5)


def test_actions_have_the_density_of_the_behaviour(rows: data.LoadedData) -> None:
    modes, seen = ActionModes.of(TASK), rows.transitions
    canonical = turned_back(seen.observations, seen.actions)
    nearest, distance = modes.nearest(canonical)
    np.testing.assert_allclose(np.bincount(nearest) / len(seen), 0.25, atol=0.013)
    # |z|^2 of a standard normal z in 8 dimensions has mean 8 and variance 16.
    assert (distance**2).mean() == pytest.approx(8, abs=4 * 4 / len(seen) ** 0.5)
    assert modes.in_support(canonical).mean() == pytest.approx(0.99, abs=0.003)
    residuals = canonical - modes.centres[nearest]
    np.testing.assert_allclose(np.cov(residuals.T) / modes.sigma**2, np.eye(8), atol=0.05)
    angles = np.arctan2(seen.observations[:, 1], seen.observations[:, 0])
    counts, _ = np.histogram(angles, 8, (0, np.pi / 8))
    np.testing.assert_allclose(counts / len(seen), 1 / 8, atol=0.01)


def test_fewer_steps_are_the_first_of_more(
    rows: data.LoadedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    few = data.ensure(get_task("multimodal/modes-4-dim-8", {"transitions": 1234, "data_seed": 2}))
    np.testing.assert_array_equal(few.transitions.rows, rows.transitions.rows[:1234])


def test_minari_reads_it_and_recovers_its_environment(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(stored / "minari"))
    dataset = minari.load_dataset(TASK.dataset.id)
    assert dataset.total_steps == 20_500
    assert all(episode.terminations.all() for episode in dataset)
    env = dataset.recover_environment(eval_env=True)
    assert env.action_space.shape == (8,)
    assert env.unwrapped.modes == ActionModes.of(TASK)
    assert minari.get_normalized_score(dataset, 0.5) == 0.5
