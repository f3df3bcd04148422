"""Diffuser against arXiv:2205.09991 and its official code in plain PyTorch."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydantic
import pytest
import torch
from torch import Tensor

from algorithms.base import Batch, History
from algorithms.engine.engine import Engine
from algorithms.engine.preflight import check
from algorithms.registry import resolve_config
from algorithms.transitions import Transitions
from baselines.diffuser import Diffuser, DiffuserConfig
from tests.algorithms import temporal_reference
from tests.algorithms.reference import closed_form, of_seed, random_batch, record
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.algorithms.temporal_reference import assert_same_change
from tests.baselines.bandit import GOOD, POOR, share_near, two_modes

SMALL: dict[str, Any] = {"hidden_dims": (32, 128), "horizon": 8, "diffusion_steps": 5}
DIM = ACTION_DIM + OBS_DIM


def weights(engine: Engine, network: str, slot: int, group: str = "params") -> dict[str, Tensor]:
    prefix = f"{group}/{network}/"
    state = {k: v for k, v in engine.state(slot).items() if k.startswith(prefix)}
    return {k.removeprefix(prefix): torch.tensor(v[0]) for k, v in state.items()}


def noisy(batch: Batch, noise: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One seed's windows [B, L, D], noisy ones with their first observation, and steps [B, 1]."""
    plans = torch.cat([batch.actions, batch.observations], -1)
    index = (uniform * 5).long()
    signal = torch.tensor(temporal_reference.signals(5), dtype=torch.float32)[index][..., None]
    x = signal.sqrt() * plans + (1 - signal).sqrt() * noise.view(plans.shape)
    x[:, 0, ACTION_DIM:] = batch.observations[:, 0]
    return plans, x, index + 1.0


def model_loss(p: dict[str, Tensor], batch: Batch, noise: dict[str, Tensor]) -> Tensor:
    plans, x, steps = noisy(batch, noise["epsilon"], noise["step"])
    found = temporal_reference.unet(p, x, steps)
    weight = torch.ones(8, DIM)
    weight[0, :ACTION_DIM] = 10
    weight[0, ACTION_DIM:] = 0  # it is known
    return (weight * (found - plans).square()).mean()


def value_loss(p: dict[str, Tensor], batch: Batch, noise: dict[str, Tensor]) -> Tensor:
    _, x, steps = noisy(batch, noise["value_epsilon"], noise["value_step"])
    return (temporal_reference.value(p, x, steps) - batch.returns[:, 0]).square().mean()


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    """Both losses, the value network's rarer updates, and the averages of both."""
    settings = {"learning_rate": 1e-3, "value_every": 2, "ema": 0.1, "batch_size": 16}
    engine = make_engine("diffuser", transitions, **SMALL, **settings)
    starts = [{n: weights(engine, n, slot) for n in ("model", "value")} for slot in (0, 1)]
    seen = record(engine)
    engine.train(4)
    for slot, start in enumerate(starts):
        for name, loss_of, every in (("model", model_loss, 1), ("value", value_loss, 2)):
            params = {k: v.clone().requires_grad_() for k, v in start[name].items()}
            average = {k: v.clone() for k, v in start[name].items()}
            adam = torch.optim.Adam(list(params.values()), lr=1e-3)
            trained = [pair for i, pair in enumerate(of_seed(seen, slot), 1) if not i % every]
            for batch, noise in trained:
                assert 0 < batch.valid.mean() < 1
                loss = loss_of(params, batch, dict(noise))
                adam.zero_grad()
                loss.backward()
                adam.step()
                for key, value in params.items():
                    average[key].lerp_(value.data, 0.1)
            assert engine.metrics()[f"{name}/loss"][slot] == pytest.approx(loss.item(), rel=1e-3)
            for group, expected in (("params", params), ("targets", average)):
                assert_same_change(weights(engine, name, slot, group), expected, start[name])


def algorithm_of(**overrides: Any) -> Diffuser:
    return Diffuser(DiffuserConfig(**{**SMALL, **overrides}), OBS_DIM, ACTION_DIM)


def test_the_first_action_counts_and_the_first_observation_is_known() -> None:
    algorithm = algorithm_of(horizon=3, action_weight=4.0)
    batch = random_batch(1, 2, algorithm)
    plans = torch.cat([batch.actions, batch.observations], -1)
    nets: Any = SimpleNamespace(model=lambda x, step: plans + 0.1)
    noise = {"epsilon": torch.randn(1, 2, 3 * DIM), "step": torch.rand(1, 2, 1)}
    loss, _ = algorithm.model_loss(nets, batch, noise)
    squares = 0.01 * (4 * ACTION_DIM + 2 * DIM)
    assert float(loss) == pytest.approx(squares / (3 * DIM), rel=1e-4)


def test_values_regress_on_the_return_from_the_first_step() -> None:
    algorithm = algorithm_of(horizon=3)
    batch = random_batch(1, 2, algorithm)
    nets: Any = SimpleNamespace(value=lambda x, step: torch.zeros(1, 2))
    noise = {"value_epsilon": torch.randn(1, 2, 3 * DIM), "value_step": torch.rand(1, 2, 1)}
    loss, _ = algorithm.value_loss(nets, batch, noise)
    assert float(loss) == pytest.approx(float(batch.returns[0, :, 0].square().mean()))


def present(observation: Tensor) -> History:
    """One episode's first step. observation: [obs_dim]."""
    return History(
        observations=observation.view(1, 1, 1, -1),
        actions=torch.zeros(1, 1, 1, ACTION_DIM),
        rewards=torch.zeros(1, 1, 1),
        earned=torch.zeros(1, 1, 1),
        steps=torch.zeros(1, 1, 1, dtype=torch.int64),
    )


def planned(noise: Tensor, observation: Tensor, scale: float, unguided: int) -> Tensor:
    """By the official sampler, for μ = x / 2 + 0.1 k and J = Σ x²; the best plan's first action.

    noise: [plans, K, L, D], of what a plan starts from and what each step but the last one adds.
    """
    signal = [1.0, *temporal_reference.signals(4)]
    x = noise[:, 0].clone()
    x[:, 0, ACTION_DIM:] = observation
    for t in (3, 2, 1, 0):
        alpha, bar, before = signal[t + 1] / signal[t], signal[t + 1], signal[t]
        variance = (1 - alpha) * (1 - before) / (1 - bar)
        for _ in range(2):
            values = x.square().sum((1, 2))
            slope = 2 * x * variance
            slope[:] = slope if t >= unguided else 0
            x = x + scale * slope
            x[:, 0, ACTION_DIM:] = observation
        clean = x / 2 + 0.1 * (t + 1)
        x = (before**0.5 * (1 - alpha) * clean + alpha**0.5 * (1 - before) * x) / (1 - bar)
        if t:
            x = x + variance**0.5 * noise[:, 4 - t]
        x[:, 0, ACTION_DIM:] = observation
    return x[values.argmax(), 0, :ACTION_DIM]


@pytest.mark.parametrize(("scale", "unguided"), [(0.3, 2), (0.3, 0), (0.0, 2)])
def test_acts_by_the_best_of_plans_that_are_steered_upwards(scale: float, unguided: int) -> None:
    algorithm = algorithm_of(
        horizon=3, plans=5, diffusion_steps=4, guide_scale=scale, unguided=unguided
    )
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(5, 4, 3, DIM, generator=generator)
    observation = torch.tensor([0.3, -0.8, 0.1])
    nets = closed_form(
        {
            "model": lambda x, step: x / 2 + 0.1 * step.unsqueeze(-1),
            "value": lambda x, step: x.square().sum((2, 3)),
        }
    )
    found = algorithm.act(nets, present(observation), {"plans": noise.view(1, 1, -1)})
    torch.testing.assert_close(found[0, 0], planned(noise, observation, scale, unguided))


def climbed(steps: int, scale: float) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of actions of N(0.3, 0.2²), of value 5 a, by the exact networks.

    Both are affine in x_k, hence an action is affine in the noise and unit noises tell it all.
    """
    algorithm = algorithm_of(
        horizon=1, plans=1, diffusion_steps=steps, guide_scale=scale, guide_steps=2, unguided=1
    )
    signals = torch.tensor([1.0, *temporal_reference.signals(steps)])

    def expected(x: Tensor, step: Tensor) -> Tensor:
        signal = signals[step.long()].unsqueeze(-1)
        gain = signal.sqrt() * 0.04 / (signal * 0.04 + 1 - signal)
        return 0.3 + gain * (x - signal.sqrt() * 0.3)

    nets = closed_form(
        {
            "model": expected,
            "value": lambda x, step: 5 * expected(x, step)[..., :ACTION_DIM].sum((2, 3)),
        }
    )
    noise = torch.zeros(steps + 1, steps, DIM)
    noise[1:] = torch.eye(steps).unsqueeze(-1)
    now = present(torch.zeros(OBS_DIM))
    episodes = History(*(x.expand(1, steps + 1, *x.shape[2:]) for x in now))
    actions = algorithm.act(nets, episodes, {"plans": noise.view(1, steps + 1, -1)})[0]
    return actions[0], (actions[1:] - actions[0]).square().sum(0).sqrt()


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0])
def test_exact_guidance_samples_the_tilted_gaussian(scale: float) -> None:
    """N(0.3, 0.2²) times exp(2 α · 5 a) is N(0.3 + 2 α · 5 · 0.2², 0.2²), two guide steps of α.

    Errors fall as 1 / K: twice as many steps tell what infinitely many would give.
    """
    fewer, more = climbed(200, scale), climbed(400, scale)
    mean, std = (2 * b - a for a, b in zip(fewer, more, strict=True))
    shifted = torch.full((ACTION_DIM,), 0.3 + 2 * scale * 5 * 0.04)
    torch.testing.assert_close(mean, shifted, rtol=0, atol=5e-3)
    torch.testing.assert_close(std, torch.full((ACTION_DIM,), 0.2), rtol=0, atol=2e-3)


def test_terminal_steps_are_penalised(transitions: Transitions) -> None:
    over = transitions.terminals > 0
    assert over.any()
    changed = Diffuser.select(DiffuserConfig(termination_penalty=-7.0), transitions)
    np.testing.assert_allclose(changed.rewards - transitions.rewards, -7.0 * over, atol=1e-5)
    assert Diffuser.select(DiffuserConfig(termination_penalty=0.0), transitions) is transitions
    endless = replace(transitions, rows=transitions.rows.copy())
    endless.terminals[:] = 0
    assert Diffuser.select(DiffuserConfig(), endless) is endless


@pytest.mark.parametrize(("scale", "plans"), [(0.0, 8), (30.0, 1)])
def test_either_the_choice_or_the_guide_finds_what_pays(scale: float, plans: int) -> None:
    """In a bandit with two modes, where plans without either are of both."""
    engine = make_engine(
        "diffuser",
        two_modes(),
        offline_steps=60,
        hidden_dims=(16,),
        horizon=1,
        diffusion_steps=5,
        unguided=1,
        learning_rate=5e-3,
        ema=0.1,
        value_every=1,
        termination_penalty=0.0,
        plans=plans,
        guide_scale=scale,
    )
    engine.train(60)
    good, poor = (share_near(mode, engine, 0.5) for mode in (GOOD, POOR))
    assert good.min() > 0.7
    assert poor.max() < 0.2


def test_channels_come_in_eights() -> None:
    with pytest.raises(pydantic.ValidationError, match="multiple of 8"):
        resolve_config("diffuser", {"hidden_dims": (12,)})


def test_the_preflight_has_no_remarks() -> None:
    assert check(Diffuser, DiffuserConfig(), OBS_DIM, ACTION_DIM) == []
