"""The data as an algorithm sees it: returns, previous actions, the scale of rewards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from algorithms.base import Batch
from algorithms.engine.batches import Batches
from algorithms.registry import resolve_config
from algorithms.transitions import Transitions
from tests.algorithms.small import ACTION_DIM, OBS_DIM

N = 12
ENDS = {3: "terminals", 4: "timeouts", 9: "terminals"}  # one episode of a single step; one cut
FIRST_STEPS = (0, 4, 5, 10)


@pytest.fixture
def episodes() -> Transitions:
    rng = np.random.default_rng(3)
    flags = {
        name: np.array([ENDS.get(row) == name for row in range(N)])
        for name in ("terminals", "timeouts")
    }
    return Transitions.pack(
        observations=rng.normal(2.0, 3.0, (N, OBS_DIM)),
        actions=rng.uniform(-1, 1, (N, ACTION_DIM)),
        rewards=rng.normal(-1.0, 2.0, N),
        next_observations=rng.normal(2.0, 3.0, (N, OBS_DIM)),
        **flags,
    )


def _batches(transitions: Transitions, **config: Any) -> Batches:
    return Batches(transitions, resolve_config("bc", config), torch.device("cpu"))


def _every_row(batches: Batches) -> Batch:
    """All transitions as the batch of one seed, without the seed axis."""
    return batches.gather(torch.arange(len(batches))[None]).map(lambda field: field[0])


def test_the_previous_action_is_the_row_before_and_zero_where_an_episode_starts(
    episodes: Transitions,
) -> None:
    previous = _every_row(_batches(episodes)).previous_actions.numpy()
    for row in range(N):
        expected = np.zeros(ACTION_DIM) if row in FIRST_STEPS else episodes.actions[row - 1]
        assert np.array_equal(previous[row], expected.astype(np.float32)), row


@pytest.mark.parametrize("discount", [0.9, 1.0])
def test_a_batch_carries_the_returns_of_its_own_rows(
    discount: float, episodes: Transitions
) -> None:
    batches = _batches(episodes, discount=discount)
    indices = torch.tensor([[3, 11, 3], [0, 5, 9]])
    batch = batches.gather(indices)
    assert batch.returns.shape == (2, 3)
    assert np.array_equal(batch.returns, episodes.returns(discount)[indices.numpy()])
    assert np.array_equal(batch.rewards, episodes.rewards[indices.numpy()])
    assert batches.mean_return == pytest.approx(float(episodes.returns(discount).mean()), rel=1e-5)


def test_the_same_row_is_the_same_transition_wherever_it_is_gathered(
    episodes: Transitions,
) -> None:
    batches = _batches(episodes, reward_transform="mean-return")
    rows, indices = _every_row(batches), torch.tensor([[7, 0], [11, 4], [4, 7]])
    for got, column in zip(batches.gather(indices)[:-1], rows[:-1], strict=True):
        assert torch.equal(got, column[indices])


def test_normalised_rewards_have_returns_of_mean_size_one(episodes: Transitions) -> None:
    """One factor for rewards and returns alike: nothing is shifted."""
    plain = _every_row(_batches(episodes, discount=0.9))
    batches = _batches(episodes, discount=0.9, reward_transform="mean-return")
    scaled = _every_row(batches)
    factor = 1 / float(plain.returns.abs().mean())
    assert batches.rewards.scale == pytest.approx(factor, rel=1e-5)
    assert float(scaled.returns.abs().mean()) == pytest.approx(1.0, rel=1e-5)
    torch.testing.assert_close(scaled.rewards, factor * plain.rewards)
    torch.testing.assert_close(scaled.returns, factor * plain.returns)
    assert batches.mean_return == pytest.approx(float(scaled.returns.mean()), rel=1e-5)
    assert torch.equal(scaled.masks, plain.masks)
    assert torch.equal(scaled.observations, plain.observations)


def test_rewards_keep_their_scale_unless_asked(episodes: Transitions) -> None:
    batches = _batches(episodes)
    assert batches.rewards.scale == 1.0
    assert np.array_equal(_every_row(batches).rewards, episodes.rewards)


def test_data_without_any_reward_is_scaled_by_something_finite(episodes: Transitions) -> None:
    rows = episodes.rows.copy()
    rows[:, OBS_DIM + ACTION_DIM] = 0
    batches = _batches(Transitions(rows, OBS_DIM, ACTION_DIM), reward_transform="mean-return")
    assert np.isfinite(batches.rewards.scale)
    assert _every_row(batches).returns.tolist() == [0.0] * N
