"""DTQL against the equations of arXiv:2405.19690 in plain PyTorch, by hand, and on two modes."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional as F  # noqa: N812

from algorithms.engine.engine import Engine
from algorithms.engine.preflight import check
from algorithms.transitions import Transitions
from baselines.dtql import DTQL, DTQLConfig
from tests.algorithms.blocks.test_diffusion import embedding
from tests.algorithms.reference import (
    adam_step,
    assert_same_weights,
    closed_form,
    learned,
    make_algorithm,
    members,
    of_seed,
    polyak,
    q_values,
    random_batch,
    random_noise,
    record,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.baselines.bandit import GOOD, rising, two_modes

DATA = 0.5


def _params(engine: Engine, name: str, slot: int) -> dict[str, Any]:
    prefix = f"params/{name}/"
    state = engine.state(slot).items()
    return {key.removeprefix(prefix): v for key, v in state if key.startswith(prefix)}


class Denoiser(nn.Module):
    """The diffusion policy's network with the official code's scalings."""

    def __init__(self, engine: Engine, slot: int) -> None:
        super().__init__()
        network: Any = engine.algorithm.networks["behavior"]
        params = _params(engine, "behavior", slot)
        own = {k.removeprefix("step_"): v for k, v in params.items() if k.startswith("step_")}
        (self.body,), (self.time,) = members(network.body, params), members(network.embedding, own)

    def loss(self, s: Tensor, a: Tensor, z: Tensor, uniform: Tensor) -> Tensor:
        low, high = (b**2 / (b**2 + DATA**2) for b in (0.002, 80))
        u = low + (high - low) * uniform
        sigma = torch.exp(math.log(DATA) + 0.5 * torch.logit(u))
        total = sigma**2 + DATA**2
        c_skip, c_out, c_in = DATA**2 / total, sigma * DATA / total**0.5, total**-0.5
        x = a + sigma * z
        time = self.time(torch.stack([embedding(float(t)) for t in torch.log(sigma) / 4]))
        denoised = c_out * self.body(torch.cat([s, c_in * x, time], 1)) + c_skip * x
        return (((denoised.clip(-1, 1) - a) / c_out) ** 2).mean()


def _actor(engine: Engine, slot: int) -> nn.ModuleList:
    network: Any = engine.algorithm.networks["actor"]
    return nn.ModuleList(members(network.mlp, _params(engine, "actor", slot)))


@pytest.mark.parametrize("likelihood_weight", [0.0, 0.3])
@pytest.mark.parametrize("decays", [False, True])
def test_training_equals_plain_pytorch(
    transitions: Transitions, likelihood_weight: float, decays: bool
) -> None:
    """Three updates without the one-step policy, then five with it."""
    engine = make_engine(
        "dtql",
        transitions,
        offline_steps=8,
        batch_size=8,
        pretrain_share=0.375,
        learning_rate=3e-3,
        critic_learning_rate=1e-2,
        cosine_decay=decays,
        expectile=0.8,
        tau=0.05,
        alpha=2.0,
        discount=0.9,
        likelihood_weight=likelihood_weight,
    )
    starts = [
        (
            learned(engine, "critic", slot),
            learned(engine, "value", slot),
            Denoiser(engine, slot),
            _actor(engine, slot),
        )
        for slot in (0, 1)
    ]
    seen = record(engine)
    engine.train(8)
    for slot, (critic, value, denoiser, actor) in enumerate(starts):
        old_critic = copy.deepcopy(critic)
        critic_adam, behavior_adam, actor_adam = (
            torch.optim.Adam(parameters, lr=rate)
            for parameters, rate in (
                ([*critic.parameters(), *value.parameters()], 1e-2),
                (denoiser.parameters(), 3e-3),
                (actor.parameters(), 3e-3),
            )
        )
        cosines = [
            torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
            for adam, steps in ((critic_adam, 8), (behavior_adam, 8), (actor_adam, 5))
        ]
        for i, (batch, noise) in enumerate(of_seed(seen, slot)):
            s, a = batch.observations, batch.actions
            with torch.no_grad():
                q = q_values(critic, s, a).min(0).values
                target = batch.rewards + 0.9 * batch.masks * value[0](batch.next_observations)[:, 0]
            u = q - value[0](s)[:, 0]
            first, second = q_values(critic, s, a)
            loss = (torch.where(u > 0, 0.8, 0.2) * u**2).mean()
            adam_step(critic_adam, loss + F.mse_loss(first, target) + F.mse_loss(second, target))
            adam_step(behavior_adam, denoiser.loss(s, a, noise["epsilon"], noise["sigma"]))
            if i >= 3:
                mean, log_std = actor[0](s).chunk(2, 1)
                policy = Normal(mean, log_std.clip(-5, 2).exp())
                action = torch.tanh(policy.mean + policy.stddev * noise["z"])
                trust = denoiser.loss(s, action, noise["policy_epsilon"], noise["policy_sigma"])
                log_prob = policy.log_prob(torch.arctanh(a / (1 + 1e-3))).sum(1)
                loss = 2.0 * trust - q_values(critic, s, action).min(0).values.mean()
                adam_step(actor_adam, loss - likelihood_weight * log_prob.mean())
                polyak(old_critic, critic, 0.05)
            for cosine in cosines[: 3 if i >= 3 else 2] if decays else ():
                cosine.step()
        assert_same_weights(learned(engine, "critic", slot), critic)
        assert_same_weights(learned(engine, "value", slot), value)
        assert_same_weights(Denoiser(engine, slot), denoiser)
        assert_same_weights(_actor(engine, slot), actor)
        assert_same_weights(learned(engine, "critic", slot, "targets"), old_critic)


def test_the_trust_region_is_the_loss_of_a_denoiser_that_looks_at_the_policy_s_action() -> None:
    """F = 0 denoises to c_skip x: at a = tanh(0.4) without noise the error is (1 − c_skip) a."""
    nets = closed_form(
        {
            "actor": lambda s: (torch.full((*s.shape[:2], 2), 0.4), torch.zeros(*s.shape[:2], 2)),
            "behavior": lambda _s, x, _k: torch.zeros_like(x),
            "critic": lambda *_: torch.tensor([[[2.0], [5.0]]]),
        }
    )
    algorithm: Any = make_algorithm("dtql", alpha=3.0)
    noise = {k: torch.zeros_like(v) for k, v in random_noise(algorithm.noise, 1, 1).items()}
    noise["policy_sigma"] += 0.5
    loss, metrics = algorithm.actor_loss(nets, random_batch(1, 1), noise)
    low, high = (b**2 / (b**2 + DATA**2) for b in (0.002, 80))
    share = (low + high) / 2  # σ² / (σ² + 0.5²)
    trust = (math.tanh(0.4) * share) ** 2 / (share * DATA**2)
    assert float(metrics["actor/trust_loss"]) == pytest.approx(trust, rel=1e-4)
    assert float(loss) == pytest.approx(3 * trust - 2.0, rel=1e-4)


def test_the_likelihood_is_that_of_the_data_s_actions_before_the_tanh() -> None:
    """Actions ±1 are shrunk first: finite, and the same density for a mean and its mirror image."""
    one = torch.ones(1, 1, ACTION_DIM)
    batch = random_batch(1, 1)._replace(actions=one)
    nets = closed_form(
        {
            "actor": lambda _s: (0.5 * one, math.log(2.0) * one),
            "behavior": lambda _s, x, _k: x,
            "critic": lambda *_: torch.zeros(1, 2, 1),
        }
    )
    algorithm: Any = make_algorithm("dtql", likelihood_weight=0.25)
    noise = random_noise(algorithm.noise, 1, 1)
    loss, metrics = algorithm.actor_loss(nets, batch, noise)
    z = (math.atanh(1 / 1.001) - 0.5) / 2
    expected = 2 * (0.5 * z**2 + math.log(2) + 0.5 * math.log(2 * math.pi))
    assert float(metrics["actor/bc_loss"]) == pytest.approx(expected, rel=1e-3)
    plain: Any = make_algorithm("dtql")
    without, _ = plain.actor_loss(nets, batch, noise)
    assert float(loss - without) == pytest.approx(0.25 * expected, rel=1e-3)


@pytest.mark.parametrize(("mask", "target"), [(1.0, 1 + 0.5 * 7.0), (0.0, 1.0)])
def test_v_regresses_on_the_trained_twins_and_q_on_v(mask: float, target: float) -> None:
    """Q = 3 and 4, V = 1, of the next state 7; the critic's average is not asked."""
    batch = random_batch(1, 1)._replace(rewards=torch.ones(1, 1), masks=torch.full((1, 1), mask))
    nets = closed_form(
        {
            "critic": lambda *_: torch.tensor([[[3.0], [4.0]]]),
            "value": lambda _: torch.ones(1, 1),
        },
        frozen={"value": lambda _: torch.full((1, 1), 7.0)},
        target={"critic": lambda *_: torch.full((1, 2, 1), torch.nan)},
    )
    algorithm: Any = make_algorithm("dtql", discount=0.5, expectile=0.9)
    loss, _ = algorithm.critic_loss(nets, batch, {})
    expected = 0.9 * 4 + (3 - target) ** 2 + (4 - target) ** 2
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_acts_by_a_sample_and_ranks_by_the_smaller_target_critic() -> None:
    twins = torch.tensor([[[3.0, -1.0], [8.0, -2.0]]])
    ones = torch.ones(1, 2, ACTION_DIM)
    nets = closed_form(
        {"critic": lambda *_: -twins, "actor": lambda _: (0.3 * ones, math.log(0.5) * ones)},
        target={"critic": lambda *_: twins},
    )
    algorithm, batch = make_algorithm("dtql"), random_batch(1, 2)
    values = algorithm.action_value(nets, batch.observations, batch.actions)
    assert values.tolist() == [[3.0, -2.0]]
    noise = random_noise(algorithm.act_noise, 1, 2)
    actions = algorithm.act(nets, batch.observations, noise)
    torch.testing.assert_close(actions, torch.tanh(0.3 + 0.5 * noise["z"]))
    assert algorithm.action_selection == "softmax-of-1024"
    assert algorithm.selection_temperature == 1.0


FAST: dict[str, Any] = {
    "offline_steps": 200,
    "batch_size": 64,
    "hidden_dims": (32, 32),
    "learning_rate": 1e-2,
    "critic_learning_rate": 5e-3,
    "pretrain_share": 0.2,
    "tau": 0.05,
}


def test_settles_in_the_mode_that_pays_and_stays_within_it() -> None:
    """Its own samples, without a critic that ranks them."""
    engine = make_engine("dtql", two_modes(), alpha=1.0, **FAST)
    engine.train(200)
    actions = engine.policy("test", "noise-1")(np.zeros((2, 500, 1), np.float32))
    assert ((np.linalg.norm(actions - GOOD, axis=-1) < 0.4).mean(1) > 0.95).all()


@pytest.mark.parametrize(("alpha", "low", "high"), [(0.0, 0.6, 1.0), (20.0, -0.3, 0.3)])
def test_the_trust_region_keeps_it_where_the_data_are(
    alpha: float, low: float, high: float
) -> None:
    """Data are uniform on ±0.5 and pay the better, the larger: Q alone leads beyond them."""
    engine = make_engine("dtql", rising(), alpha=alpha, **{**FAST, "offline_steps": 150})
    engine.train(150)
    mean = engine.policy("test", "noise-1")(np.zeros((2, 500, 1), np.float32)).mean((1, 2))
    assert low < mean.min() < mean.max() < high


def test_the_preflight_has_no_remarks() -> None:
    assert check(DTQL, DTQLConfig(), OBS_DIM, ACTION_DIM) == []
    assert check(DTQL, DTQLConfig(likelihood_weight=1.0), OBS_DIM, ACTION_DIM) == []
