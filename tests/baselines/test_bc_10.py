"""10% BC: which episodes it clones, by hand, and that it clones nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms.engine.preflight import check
from algorithms.transitions import Transitions
from baselines.bc_10 import PercentBC, PercentBCConfig
from tests.algorithms.reference import assert_same_weights, learned, of_seed, record
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.baselines.bandit import GOOD, share_near, two_modes


def _episodes(rewards: list[list[float]]) -> Transitions:
    """One episode for each list; every other one ends by a time limit."""
    flat = np.concatenate(rewards)
    number = np.repeat(np.arange(len(rewards)), [len(episode) for episode in rewards])
    last = np.append(np.diff(number) > 0, True)
    return Transitions.pack(
        observations=number[:, None] * np.ones(OBS_DIM),
        actions=np.zeros((len(flat), ACTION_DIM)),
        rewards=flat,
        next_observations=number[:, None] * np.ones(OBS_DIM),
        terminals=last & (number % 2 == 0),
        timeouts=last & (number % 2 == 1),
    )


@pytest.mark.parametrize(
    ("fraction", "kept"),
    [(0.1, [1]), (0.4, [1]), (0.5, [1, 3]), (0.75, [1, 2, 3]), (0.99, [1, 2, 3])],
)
def test_keeps_whole_episodes_of_the_largest_return_in_time_order(
    fraction: float, kept: list[int]
) -> None:
    """Returns 1, 7, 2 and 4. Discounted by 0.99 a step, the last would be the best."""
    episodes = [[1.0], [0.0] * 70 + [7.0], [5.0, -3.0], [4.0, 0.0]]
    data = _episodes(episodes)
    found = PercentBC.select(PercentBCConfig(fraction=fraction), data)
    expected = np.isin(data.observations[:, 0], kept)
    assert np.array_equal(found.rows, data.rows[expected])


def test_an_end_by_a_time_limit_parts_two_episodes() -> None:
    """As one episode of return 6, the first two would be the best."""
    data = _episodes([[0.0], [3.0], [3.0], [5.0], [1.0]])
    found = PercentBC.select(PercentBCConfig(fraction=0.2), data)
    assert found.rewards.tolist() == [5.0]


def test_training_equals_plain_pytorch_on_normalised_observations_of_what_is_kept(
    transitions: Transitions,
) -> None:
    """Two of eight episodes: their rows alone are drawn, and their moments normalise."""
    engine = make_engine("bc-10", transitions, fraction=0.25, learning_rate=1e-2)
    best = np.argsort(transitions.rewards.reshape(8, 32).sum(1))[-2:]
    rows = np.isin(np.arange(256) // 32, best)
    observations = torch.tensor(transitions.observations[rows])
    deviation = observations.std(0, unbiased=False)
    kept = torch.cat(
        [
            (observations - observations.mean(0)) / (deviation + 1e-3),
            torch.tensor(transitions.actions[rows]),
        ],
        1,
    )
    actors = [learned(engine, "actor", slot)[0] for slot in (0, 1)]
    seen = record(engine)
    engine.train(8)
    for slot, actor in enumerate(actors):
        adam = torch.optim.Adam(actor.parameters(), lr=1e-2)
        for batch, _ in of_seed(seen, slot):
            drawn = torch.cat([batch.observations, batch.actions], 1)
            assert (drawn.unsqueeze(1) - kept).abs().amax(-1).amin(1).max() < 1e-5
            adam.zero_grad()
            predicted = torch.tanh(actor(batch.observations))
            torch.nn.functional.mse_loss(predicted, batch.actions).backward()
            adam.step()
        assert_same_weights(learned(engine, "actor", slot)[0], actor)


def test_clones_the_mode_of_a_bandit_that_pays_more() -> None:
    """Plain behaviour cloning acts between the modes."""
    shares = {}
    for algorithm in ("bc", "bc-10"):
        engine = make_engine(algorithm, two_modes(), offline_steps=200, learning_rate=3e-3)
        engine.train(200)
        shares[algorithm] = share_near(GOOD, engine, 0.2)
    assert shares["bc-10"].min() == 1
    assert shares["bc"].max() == 0


def test_the_preflight_has_no_remarks() -> None:
    assert check(PercentBC, PercentBCConfig(), OBS_DIM, ACTION_DIM) == []
