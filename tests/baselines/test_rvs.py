"""RvS-R against arXiv:2112.10751 and its official code in plain PyTorch, and by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from algorithms.engine.engine import Engine
from algorithms.engine.preflight import check
from algorithms.networks import MLP
from algorithms.transitions import Facts, Transitions
from baselines.rvs import RvS, RvSConfig
from tests.algorithms.reference import (
    assert_same_weights,
    closed_form,
    members,
    of_seed,
    params_of,
    random_batch,
    record,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.baselines.bandit import GOOD, POOR, share_near, two_modes


class Actor(nn.Module):
    def __init__(self, engine: Engine, slot: int) -> None:
        super().__init__()
        params = params_of(engine, "actor", slot)
        (self.mean,) = members(MLP(OBS_DIM + 1, ACTION_DIM, (16, 16)), params)
        self.log_std = nn.Parameter(torch.tensor(params["log_std"][0, 0]))

    def forward(self, x: Tensor) -> torch.distributions.Distribution:
        normal = torch.distributions.Normal(self.mean(x), self.log_std.exp().expand(len(x), -1))
        return torch.distributions.Independent(normal, 1)


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    """Rewards to go are summed anew, from the data; 32 steps are the longest episode."""
    engine = make_engine("rvs", transitions, learning_rate=1e-2)
    actors = [Actor(engine, slot) for slot in (0, 1)]
    seen = record(engine)
    engine.train(8)
    rewards = torch.tensor(transitions.rewards).view(8, 32)  # of eight episodes
    to_go = rewards.flip(1).cumsum(1).flip(1) / torch.arange(32, 0, -1)
    observations = torch.tensor(transitions.observations)
    for slot, actor in enumerate(actors):
        adam = torch.optim.Adam(actor.parameters(), lr=1e-2)
        for batch, _ in of_seed(seen, slot):
            rows = torch.cdist(batch.observations, observations).argmin(1)
            x = torch.cat([observations, to_go.view(-1, 1)], 1)[rows]
            adam.zero_grad()
            (-actor(x).log_prob(batch.actions).mean()).backward()
            adam.step()
        assert_same_weights(Actor(engine, slot), actor)


def algorithm_of(**overrides: Any) -> RvS:
    config = RvSConfig(hidden_dims=(64, 64), **overrides)
    return RvS(config, OBS_DIM, ACTION_DIM, facts=Facts(longest_episode=20, best_return=50.0))


def test_the_loss_by_hand() -> None:
    """Its mean is the reward per step that it is told of, here right; its deviation is e^-9."""
    batch = random_batch(1, 2)
    batch = batch._replace(
        returns=torch.tensor([[10.0, -8.0]]),
        steps=torch.tensor([[0, 16]]),
        actions=torch.tensor([[[0.5, 0.5], [-2.0, -2.0]]]),
    )

    def actor(x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x[..., -1:].expand(1, 2, ACTION_DIM)
        return mean, torch.full_like(mean, -9.0)

    loss, _ = algorithm_of().loss(closed_form({"actor": actor}), batch, {})
    assert float(loss) == pytest.approx(ACTION_DIM * (-9 + 0.5 * math.log(2 * math.pi)), rel=1e-5)


def test_the_actor_begins_as_stable_baselines_does_and_bounds_nothing() -> None:
    actor = algorithm_of().networks["actor"]
    params = actor.init(torch.Generator().manual_seed(0))
    for i, (gain, size) in enumerate([(math.sqrt(2), OBS_DIM + 1), (math.sqrt(2), 64), (0.01, 2)]):
        weight = params[f"weight_{i}"][0]
        product = weight @ weight.T if i < 2 else weight.T @ weight
        torch.testing.assert_close(product, gain**2 * torch.eye(size), atol=1e-5, rtol=1e-4)
        assert not params[f"bias_{i}"].any()
    assert not params["log_std"].any()
    for far in (9.0, -9.0):
        moved = {k: torch.full_like(v, far)[None] for k, v in params.items()}
        mean, log_std = actor(moved, torch.ones(1, 1, OBS_DIM + 1))
        assert float(mean.abs().min()) > 1
        assert log_std.unique().tolist() == [far]


@pytest.mark.parametrize(("target", "expected"), [(None, 2.5), (-1.5, -1.5)])
def test_acts_with_the_mean_for_its_target(target: float | None, expected: float) -> None:
    """The best return over the longest episode, or the suite's."""
    nets = closed_form({"actor": lambda x: (x[..., -1:].expand(1, 4, 2), torch.zeros(1, 4, 2))})
    actions = algorithm_of(target_reward=target).act(nets, torch.zeros(1, 4, OBS_DIM), {})
    assert actions.unique().tolist() == [expected]


@pytest.mark.parametrize(("target", "mode"), [(None, GOOD), (0.0, POOR)])
def test_acts_as_the_episodes_that_earned_the_target(target: float | None, mode: Any) -> None:
    """In a bandit with two modes that pay 1 and 0."""
    engine = make_engine(
        "rvs", two_modes(), offline_steps=200, learning_rate=1e-2, target_reward=target
    )
    engine.train(200)
    assert share_near(mode, engine, 0.2).min() > 0.95


def test_the_preflight_has_no_remarks() -> None:
    assert check(RvS, RvSConfig(hidden_dims=(8,)), OBS_DIM, ACTION_DIM) == []
