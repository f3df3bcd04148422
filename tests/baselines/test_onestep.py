"""One-step RL against the equations of arXiv:2106.08909 in plain PyTorch, and by hand."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, kl_divergence

from algorithms.engine.engine import Engine
from algorithms.engine.preflight import check
from algorithms.networks import MLP
from algorithms.transitions import Transitions
from baselines.onestep import OneStep, OneStepConfig, gaussian_kl
from tests.algorithms.reference import (
    assert_same_weights,
    closed_form,
    learned,
    make_algorithm,
    members,
    of_seed,
    params_of,
    polyak,
    random_batch,
    record,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.baselines.bandit import GOOD, POOR, rising, share_near, two_modes


class Policy(nn.Module):
    def __init__(self, engine: Engine, name: str, slot: int) -> None:
        super().__init__()
        params = params_of(engine, name, slot)
        (self.mlp,) = members(MLP(OBS_DIM, 2 * ACTION_DIM, (16, 16)), params)

    def forward(self, observations: Tensor) -> Independent:
        mean, log_std = self.mlp(observations).split(ACTION_DIM, -1)
        low, high = -5, 0
        log_std = low + 0.5 * (high - low) * (torch.tanh(log_std) + 1)
        return Independent(Normal(torch.tanh(mean), log_std.exp()), 1)


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    """Nine updates of Q, of which β has every second; then three of a policy that starts as β."""
    engine = make_engine(
        "onestep",
        transitions,
        offline_steps=12,
        learning_rate=1e-2,
        tau=0.05,
        discount=0.9,
        alpha=0.7,
        policy_share=0.25,
    )
    starts = [(learned(engine, "critic", s), Policy(engine, "behavior", s)) for s in (0, 1)]
    seen = record(engine)
    engine.train(12)
    cut = 0
    for slot, ((critic,), behavior) in enumerate(starts):
        target = copy.deepcopy(critic)
        q_adam = torch.optim.Adam(critic.parameters(), lr=1e-2)
        b_adam = torch.optim.Adam(behavior.parameters(), lr=1e-2)
        batches = list(of_seed(seen, slot))
        for i, (batch, _) in enumerate(batches[:9]):
            s, a = batch.observations, batch.actions
            rows = [
                j for j in range(len(s)) if batch.masks[j] == 0 or batch.has_next[j] == 1
            ]  # else a time limit cut the episode there
            cut += len(s) - len(rows)
            with torch.no_grad():
                following = torch.cat([batch.next_observations, batch.next_actions], 1)
                backup = batch.rewards + 0.9 * batch.masks * target(following)[:, 0]
            error = critic(torch.cat([s, a], 1))[:, 0] - backup
            q_adam.zero_grad()
            (error[rows] ** 2).mean().backward()
            q_adam.step()
            if i % 2 == 1:
                b_adam.zero_grad()
                (-behavior(s).log_prob(a).mean()).backward()
                b_adam.step()
                polyak(target, critic, 0.05)
        actor = copy.deepcopy(behavior)
        adam = torch.optim.Adam(actor.parameters(), lr=1e-2)
        for batch, noise in batches[9:]:
            s, policy = batch.observations, actor(batch.observations)
            action = policy.base_dist.mean + policy.base_dist.stddev * noise["gaussian"]
            kl = kl_divergence(policy, behavior(s))
            loss = (-critic(torch.cat([s, action], 1))[:, 0] + 0.7 * kl).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
        assert_same_weights(learned(engine, "critic", slot)[0], critic)
        assert_same_weights(learned(engine, "critic", slot, "targets")[0], target)
        assert_same_weights(Policy(engine, "behavior", slot), behavior)
        assert_same_weights(Policy(engine, "actor", slot), actor)
    assert cut


def test_the_backup_asks_the_data_s_next_action_and_leaves_out_what_a_time_limit_cut() -> None:
    """Q̄ = 3 a'_1. Going on: 1 + 0.5 · 3 · 0.4; ended: 1; cut: nothing is known."""
    batch = random_batch(1, 3)._replace(
        rewards=torch.ones(1, 3),
        masks=torch.tensor([[1.0, 0.0, 1.0]]),
        has_next=torch.tensor([[1.0, 0.0, 0.0]]),
        next_actions=torch.tensor([[[0.4, 0.9], [0.0, 0.0], [0.0, 0.0]]]),
    )
    nets = closed_form(
        {"critic": lambda *_: torch.full((1, 1, 3), 2.0)},
        target={"critic": lambda _s, a: 3 * a[..., 0].unsqueeze(1)},
    )
    loss, _ = make_algorithm("onestep", discount=0.5).critic_loss(nets, batch, {})
    assert float(loss) == pytest.approx(((2 - 1.6) ** 2 + (2 - 1) ** 2) / 2)


def test_the_divergence_of_gaussians() -> None:
    mean, log_std, other, other_log_std = torch.randn(4, 2, 5, 3, dtype=torch.float64)
    expected = kl_divergence(
        Independent(Normal(mean, log_std.exp()), 1),
        Independent(Normal(other, other_log_std.exp()), 1),
    )
    torch.testing.assert_close(gaussian_kl(mean, log_std, other, other_log_std), expected)


def test_acts_with_the_policy_after_its_step_and_with_beta_before() -> None:
    def gaussian(mean: float) -> tuple[Tensor, Tensor]:
        return torch.full((1, 4, 2), mean), torch.full((1, 4, 2), math.log(0.5))

    nets = closed_form({"actor": lambda _: gaussian(0.3), "behavior": lambda _: gaussian(-0.2)})
    algorithm, noise = make_algorithm("onestep"), {"gaussian": torch.ones(1, 4, 2)}
    observations = torch.zeros(1, 4, OBS_DIM)
    first, last = algorithm.stages
    assert first.act is not None
    assert last.act is None
    torch.testing.assert_close(first.act(nets, observations, noise), torch.full((1, 4, 2), 0.3))
    torch.testing.assert_close(algorithm.act(nets, observations, noise), torch.full((1, 4, 2), 0.8))


FAST = {"offline_steps": 300, "learning_rate": 5e-3, "tau": 0.05, "policy_share": 0.4}


def test_climbs_less_far_beyond_the_data_the_dearer_it_is_to_leave_them() -> None:
    """The data lie in ±0.5, spread by 0.29 around 0, and pay 4 Σ a: π's mean is 4 · 0.29² / α."""
    for alpha, expected in ((1.0, 0.33), (4.0, 0.083)):
        engine = make_engine("onestep", rising(), alpha=alpha, batch_size=64, **FAST)
        engine.train(300)
        mean = engine.policy("test")(np.zeros((2, 1, 1), np.float32))
        np.testing.assert_allclose(mean, expected, atol=0.08)


@pytest.mark.parametrize(("alpha", "near"), [(0.1, 1.0), (100.0, 0.0)])
def test_leaves_the_behavior_for_the_better_mode_where_that_is_cheap(
    alpha: float, near: float
) -> None:
    """β is one Gaussian over both modes; where it is dear, π's mean stays between them."""
    engine = make_engine("onestep", two_modes(), alpha=alpha, batch_size=64, **FAST)
    engine.train(300)
    assert (share_near(GOOD, engine, 0.7) == near).all()
    assert (share_near(POOR, engine, 0.7) == 0).all()


def test_the_preflight_has_no_remarks() -> None:
    assert check(OneStep, OneStepConfig(), OBS_DIM, ACTION_DIM) == []
