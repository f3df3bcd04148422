"""SRPO against the equations of arXiv:2310.07297 in plain PyTorch, by hand, and on two modes."""

from __future__ import annotations

import copy
import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from algorithms.base import Networks
from algorithms.engine.engine import Engine
from algorithms.engine.preflight import check
from algorithms.transitions import Transitions
from baselines.srpo import SRPO, SRPOConfig
from tests.algorithms.blocks.test_noise_networks import ResidualNoiseModel
from tests.algorithms.reference import (
    adam_step,
    assert_same_weights,
    closed_form,
    learned,
    make_algorithm,
    of_seed,
    params_of,
    polyak,
    q_values,
    random_batch,
    random_noise,
    random_params,
    record,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine, states_equal
from tests.baselines.bandit import GOOD, share_near, two_modes


def _diffusion_model(engine: Engine, slot: int) -> ResidualNoiseModel:
    network: Any = engine.algorithm.networks["behavior"]
    return ResidualNoiseModel(network, params_of(engine, "behavior", slot))


def _waves(time: Tensor) -> Tensor:
    """Of times `[B, 1]`, at the quantiles of |N(0, 30²)|."""
    ranks = [(i + 0.5) / 32 for i in range(32)]
    frequencies = torch.tensor([30 * NormalDist().inv_cdf(0.5 + rank / 2) for rank in ranks])
    angles = 2 * math.pi * frequencies * time
    return torch.cat([angles.sin(), angles.cos()], 1)


@pytest.fixture
def seen_times(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Times that were asked for; the model sees them as they are."""
    times: list[Tensor] = []

    def keep(time: Tensor, _count: int) -> Tensor:
        times.append(time)
        return time

    monkeypatch.setattr("baselines.srpo.fourier_features", keep)
    return times


def _scales(time: Tensor) -> tuple[Tensor, Tensor]:
    """With the official code's coefficients, in double precision as σ is small at first."""
    t = time.double()
    log_mean = -0.25 * t**2 * (20 - 0.1) - 0.5 * t * 0.1
    return torch.exp(log_mean).float(), torch.sqrt(1 - torch.exp(2 * log_mean)).float()


def _assert_same_change(start: nn.Module, actual: nn.Module, expected: nn.Module) -> None:
    """To a thousandth: of its 10,000 weights Adam moves one of almost no slope by its rounding."""
    first, ours, theirs = (
        nn.utils.parameters_to_vector(net.parameters()) for net in (start, actual, expected)
    )
    assert (ours - theirs).norm() < 1e-3 * (theirs - first).norm()


@pytest.mark.parametrize("normalize", [False, True])
def test_training_equals_plain_pytorch(transitions: Transitions, normalize: bool) -> None:
    """Six updates of diffusion model and critics, then four of the policy."""
    engine = make_engine(
        "srpo",
        transitions,
        offline_steps=10,
        batch_size=8,
        pretrain_share=0.6,
        learning_rate=3e-3,
        weight_decay=0.5,
        dropout=0.0,
        expectile=0.8,
        tau=0.05,
        beta=0.4,
        discount=0.9,
        normalize_q_gradient=normalize,
    )
    names = ("critic", "value", "actor")
    starts = [
        (_diffusion_model(engine, slot), *(learned(engine, name, slot) for name in names))
        for slot in (0, 1)
    ]
    seen = record(engine)
    engine.train(10)
    for slot, (model, critic, value, actor) in enumerate(starts):
        start, old_critic = copy.deepcopy((model, critic))
        model_adam = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.5)
        critic_adam, value_adam, actor_adam = (
            torch.optim.Adam(net.parameters(), lr=3e-3) for net in (critic, value, actor)
        )
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(actor_adam, 4)
        for i, (batch, noise) in enumerate(of_seed(seen, slot)):
            s, a, z = batch.observations, batch.actions, noise["epsilon"]
            if i < 6:
                t = noise["time"] * (1 - 1e-3) + 1e-3
                alpha, std = _scales(t)
                error = model(s, alpha * a + std * z, _waves(t)) - z
                adam_step(model_adam, (error**2).sum(1).mean())
                with torch.no_grad():
                    target_q = q_values(old_critic, s, a).min(0).values
                    target = (
                        batch.rewards + 0.9 * batch.masks * value[0](batch.next_observations)[:, 0]
                    )
                u = target_q - value[0](s)[:, 0]
                adam_step(value_adam, (torch.where(u < 0, 0.2, 0.8) * u**2).mean())
                first, second = q_values(critic, s, a)
                adam_step(critic_adam, F.mse_loss(first, target) + F.mse_loss(second, target))
                polyak(old_critic, critic, 0.05)
                continue
            action = torch.tanh(actor[0](s))
            t = noise["time"] * 0.96 + 0.02
            alpha, std = _scales(t)
            with torch.no_grad():
                predicted = model(s, alpha * action + std * z, _waves(t))
            leaf = action.detach().requires_grad_()
            (slope,) = torch.autograd.grad(q_values(old_critic, s, leaf).mean(0).sum(), leaf)
            if normalize:
                slope = slope / (slope**2).mean(1, keepdim=True).sqrt()
            per_sample = (predicted * action).sum(1) * std[:, 0] ** 2 - (slope * action).sum(
                1
            ) * 0.4
            adam_step(actor_adam, per_sample.mean())
            cosine.step()
        _assert_same_change(start, _diffusion_model(engine, slot), model)
        for name, net in zip(names, (critic, value, actor), strict=True):
            assert_same_weights(learned(engine, name, slot), net)
        assert_same_weights(learned(engine, "critic", slot, "targets"), old_critic)


def _slope_of_the_policy(beta: float, **settings: Any) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """The policy's gradient at a = 0.3 where ε = (0.5, −2) + 10 x and Q_i = 3 a_1 + 4 a_2 ± a_1."""
    knob = torch.full((ACTION_DIM,), math.atanh(0.3), requires_grad=True)
    nets = closed_form(
        {
            "actor": lambda s: knob.expand(*s.shape[:2], ACTION_DIM),
            "behavior": lambda _s, x, _t: torch.tensor([0.5, -2.0]) + 10 * x,
            "critic": lambda *_: torch.full((1, 2, 16), torch.nan),
        },
        target={
            "critic": lambda _s, a: torch.stack(
                [4 * a[..., 0] + 4 * a[..., 1], 2 * a[..., 0] + 4 * a[..., 1]], 1
            )
        },
    )
    algorithm: Any = make_algorithm("srpo", beta=beta, **settings)
    noise = random_noise(algorithm.noise, 1, 16)
    loss, metrics = algorithm.actor_loss(nets, random_batch(1, 16), noise)
    loss.sum().backward()
    assert knob.grad is not None
    return knob.grad, metrics, noise


def test_the_policy_s_gradient_is_the_score_s_less_the_critic_s_and_neither_is_differentiated() -> (
    None
):
    """The tanh has slope 1 − 0.3²; were ε differentiated, 10 α_t · 0.3 would show."""
    beta = 0.7
    gradient, metrics, noise = _slope_of_the_policy(beta)
    alpha, std = _scales(0.02 + 0.96 * noise["time"])
    predicted = torch.tensor([0.5, -2.0]) + 10 * (alpha * 0.3 + std * noise["epsilon"])
    expected = (std**2 * predicted)[0].mean(0) - beta * torch.tensor([3.0, 4.0])
    expected = expected * (1 - 0.3**2)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)
    assert float(metrics["actor/q"]) == pytest.approx(2.1)


def test_a_normalised_slope_has_a_root_mean_square_of_one() -> None:
    """(3, 4) over √12.5."""
    plain, _, _ = _slope_of_the_policy(0.0)
    normalised, _, _ = _slope_of_the_policy(1.0, normalize_q_gradient=True)
    expected = (1 - 0.3**2) * torch.tensor([3.0, 4.0]) / 12.5**0.5
    torch.testing.assert_close(plain - normalised, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("loss", "first", "last"), [("behavior_loss", 0.001, 1.0), ("actor_loss", 0.02, 0.98)]
)
def test_the_times_at_which_the_model_is_trained_and_asked(
    loss: str, first: float, last: float, seen_times: list[Tensor]
) -> None:
    nets = closed_form(
        {
            "actor": lambda s: s[..., :ACTION_DIM],
            "behavior": lambda _s, x, _t: x,
            "critic": lambda _s, a: a.sum(-1).unsqueeze(1).expand(-1, 2, -1),
        }
    )
    algorithm: Any = make_algorithm("srpo")
    noise = random_noise(algorithm.noise, 1, 2) | {"time": torch.tensor([[[0.0], [1.0]]])}
    getattr(algorithm, loss)(nets, random_batch(1, 2), noise)
    assert seen_times[0].flatten().tolist() == pytest.approx([first, last])


def test_dropout_acts_as_the_model_learns_and_not_as_it_is_asked() -> None:
    algorithm: Any = make_algorithm("srpo", dropout=0.5, behavior_dim=16)
    params = random_params(algorithm.networks, 1)
    nets = Networks(algorithm.networks, params, params, params)
    batch, noise = random_batch(1, 64), random_noise(algorithm.noise, 1, 64)

    def losses(name: str) -> list[float]:
        keys = ({"dropout": torch.tensor([key])} for key in (1, 1, 2))
        return [float(getattr(algorithm, name)(nets, batch, noise | key)[0]) for key in keys]

    same, again, other = losses("behavior_loss")
    assert same == again != other
    assert len(set(losses("actor_loss"))) == 1
    assert "dropout" not in make_algorithm("srpo", dropout=0.0).noise


def test_the_policy_leaves_the_model_and_the_critics_as_they_were_trained(
    transitions: Transitions,
) -> None:
    engine = make_engine("srpo", transitions, offline_steps=10)
    engine.train(6)
    before = engine.state(0)
    engine.train(4)
    after = engine.state(0)
    names = ("behavior", "critic", "value")
    kept = [k for k in after if k.startswith(tuple(f"params/{name}/" for name in names))]
    assert states_equal({k: before[k] for k in kept}, {k: after[k] for k in kept})
    moved = [k for k in after if k.startswith("params/actor/")]
    assert not any(np.array_equal(before[k], after[k]) for k in moved)


def test_acts_with_the_bounded_policy() -> None:
    nets = closed_form({"actor": lambda s: 3 * s[..., :ACTION_DIM]})
    observations = random_batch(1, 4).observations
    actions = make_algorithm("srpo").act(nets, observations, {})
    assert torch.equal(actions, torch.tanh(3 * observations[..., :ACTION_DIM]))


def test_leaves_the_middle_for_the_mode_that_pays() -> None:
    """It begins between the modes, a distance of 1 from both."""
    engine = make_engine(
        "srpo",
        two_modes(),
        offline_steps=300,
        batch_size=128,
        hidden_dims=(32, 32),
        actor_hidden_dims=(32, 32),
        behavior_dim=32,
        behavior_blocks=1,
        dropout=0.0,
        learning_rate=5e-3,
        tau=0.05,
        pretrain_share=0.5,
        beta=0.4,
    )
    engine.train(300)
    assert (share_near(GOOD, engine, 0.5) == 1).all()


@pytest.mark.parametrize("offset", [0.0, 0.5, -0.8])
def test_without_the_critic_it_is_drawn_to_the_mode_of_the_data(
    offset: float, seen_times: list[Tensor]
) -> None:
    """Actions N(m, c²) have ε(x_t) = σ_t (x_t − α_t m) / (α_t² c² + σ_t²), whose noise cancels.

    At a = m + δ the mean slope is E σ_t³ α_t δ / (α_t² c² + σ_t²) times that of the tanh.
    """
    mode, spread, count = 0.2, 0.3, 20_000
    action = mode + offset
    knob = torch.full((1,), math.atanh(action), requires_grad=True)

    def exact(_s: Tensor, x: Tensor, time: Tensor) -> Tensor:
        alpha, std = _scales(time)
        return std * (x - alpha * mode) / (alpha**2 * spread**2 + std**2)

    nets = closed_form(
        {
            "actor": lambda s: knob.expand(*s.shape[:2], ACTION_DIM),
            "behavior": exact,
            "critic": lambda _s, a: a.sum(-1).unsqueeze(1).expand(-1, 2, -1),
        }
    )
    algorithm: Any = make_algorithm("srpo", beta=0.0)
    noise = random_noise(algorithm.noise, 1, count)
    loss, _ = algorithm.actor_loss(nets, random_batch(1, count), noise)
    loss.sum().backward()
    alpha, std = _scales(seen_times[0])
    pull = (std**3 * alpha / (alpha**2 * spread**2 + std**2)).mean()
    assert knob.grad is not None
    expected = ACTION_DIM * float(pull) * offset * (1 - action**2)
    assert float(knob.grad) == pytest.approx(expected, abs=0.02)


def test_the_preflight_has_no_remarks() -> None:
    assert check(SRPO, SRPOConfig(), OBS_DIM, ACTION_DIM) == []
    assert check(SRPO, SRPOConfig(normalize_q_gradient=True), OBS_DIM, ACTION_DIM) == []
