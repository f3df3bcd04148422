"""What the engine draws: batches, noise, and the noise of acting."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from algorithms.transitions import Transitions
from tests.algorithms import line
from tests.algorithms.reference import learned, record
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine, states_equal

N = 40


@pytest.fixture(autouse=True)
def _line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line.install(tmp_path, monkeypatch)


@pytest.fixture
def numbered() -> Transitions:
    """Transitions whose reward is their index; every 4th is terminal, every 5th timed out."""
    rng = np.random.default_rng(1)
    return Transitions.pack(
        observations=rng.normal(3.0, [0.5, 2.0, 10.0], (N, OBS_DIM)),
        actions=rng.uniform(-1, 1, (N, ACTION_DIM)),
        rewards=np.arange(N),
        next_observations=rng.normal(3.0, [0.5, 2.0, 10.0], (N, OBS_DIM)),
        terminals=np.arange(N) % 4 == 0,
        timeouts=np.arange(N) % 5 == 0,
    )


@pytest.mark.parametrize("normalize", [True, False])
def test_batches_hold_whole_transitions_of_the_dataset(
    normalize: bool, numbered: Transitions
) -> None:
    """A time limit keeps its bootstrap mask; only a terminal loses it."""
    engine = make_engine("line", numbered, normalize_observations=normalize)
    seen = record(engine)
    engine.train(3)
    raw = numbered.observations.astype(np.float64)
    mean, std = (raw.mean(0), raw.std(0) + 1e-3) if normalize else (0.0, 1.0)
    for batch, _ in seen:
        rows = batch.rewards.numpy().astype(int)
        close = {"rtol": 1e-4, "atol": 1e-5}
        np.testing.assert_allclose(batch.observations, ((raw - mean) / std)[rows], **close)
        following = (numbered.next_observations - mean) / std
        np.testing.assert_allclose(batch.next_observations, following[rows], **close)
        assert np.array_equal(batch.actions, numbered.actions[rows])
        assert np.array_equal(batch.masks, np.where(rows % 4 == 0, 0, 1))


def test_every_transition_is_equally_likely(numbered: Transitions) -> None:
    rows = _rows(numbered, updates=200)
    for seed_rows in rows:
        counts = np.bincount(seed_rows.ravel(), minlength=N)
        assert counts.shape == (N,)
        assert stats.chisquare(counts).pvalue > 1e-3


def test_batches_differ_between_seeds_updates_and_blocks(numbered: Transitions) -> None:
    rows = _rows(numbered, updates=200)
    batches = {seed_rows[update].tobytes() for seed_rows in rows for update in range(200)}
    assert len(batches) == 2 * 200


def test_noise_has_its_distribution_and_is_fresh(numbered: Transitions) -> None:
    engine = make_engine("line", numbered, offline_steps=200)
    seen = record(engine)
    engine.train(64)
    normal = torch.stack([noise["normal"] for _, noise in seen]).numpy()
    uniform = torch.stack([noise["uniform"] for _, noise in seen]).numpy()
    assert normal.shape == (64, 2, 32, 2)
    assert uniform.shape == (64, 2, 32, 1)
    assert stats.kstest(normal.ravel(), "norm").pvalue > 1e-3
    assert stats.kstest(uniform.ravel(), "uniform").pvalue > 1e-3
    assert len(np.unique(normal)) > 0.99 * normal.size


def test_acting_normalises_applies_the_network_and_clips(numbered: Transitions) -> None:
    engine = make_engine("line", numbered)
    observations = np.random.default_rng(0).normal(3, 30, (2, 6, OBS_DIM)).astype(np.float32)
    actions = engine.policy("test")(observations)
    raw = numbered.observations.astype(np.float64)
    for slot in (0, 1):
        x = torch.tensor((observations[slot] - raw.mean(0)) / (raw.std(0) + 1e-3)).float()
        expected = learned(engine, "fast", slot)[0](x).detach().numpy()
        assert np.abs(expected).max() > 1  # otherwise nothing would be clipped here
        np.testing.assert_allclose(actions[slot], np.clip(expected, -1, 1), rtol=1e-4, atol=1e-5)


def test_a_stream_of_acting_noise_starts_afresh_under_its_name(numbered: Transitions) -> None:
    engine = make_engine("flow-bc", numbered)
    first, second, other = (engine.policy(name) for name in ("a", "a", "b"))
    x = np.zeros((2, 4, OBS_DIM), np.float32)
    actions = first(x)
    assert np.array_equal(actions, second(x))
    assert not np.array_equal(actions, other(x))
    following = first(x)  # the stream goes on, the same under the same name
    assert not np.array_equal(actions, following)
    assert np.array_equal(following, second(x))


def test_a_seed_acts_the_same_beside_any_neighbours(numbered: Transitions) -> None:
    x = np.random.default_rng(0).normal(size=(1, 4, OBS_DIM)).astype(np.float32)
    alone = make_engine("flow-bc", numbered, (5,)).policy("test")(x)
    stacked = make_engine("flow-bc", numbered, (8, 5, 2)).policy("test")(np.repeat(x, 3, 0))
    assert np.array_equal(stacked[1], alone[0])
    assert not np.array_equal(stacked[0], alone[0])


def test_acting_leaves_training_alone(numbered: Transitions) -> None:
    watched, plain = (make_engine("flow-bc", numbered) for _ in range(2))
    plain.train(6)
    for _ in range(3):
        watched.policy("evaluation")(np.zeros((2, 4, OBS_DIM), np.float32))
        watched.train(2)
    assert states_equal(watched.state(0), plain.state(0))


def _rows(transitions: Transitions, updates: int) -> NDArray[np.int64]:
    """The indices each of two seeds trained on, `[S, updates, B]`."""
    engine = make_engine("line", transitions, offline_steps=updates)
    seen = record(engine)
    engine.train(updates)
    return torch.stack([batch.rewards for batch, _ in seen], 1).numpy().astype(np.int64)
