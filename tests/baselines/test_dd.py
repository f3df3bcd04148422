"""Decision Diffuser against arXiv:2211.15657 and its official code in plain PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.base import Batch, History
from algorithms.engine.engine import Engine
from algorithms.engine.preflight import check
from algorithms.transitions import Facts, Transitions
from baselines.dd import DD, DDConfig, uniform
from tests.algorithms import temporal_reference
from tests.algorithms.reference import closed_form, of_seed, random_batch, record
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.algorithms.temporal_reference import assert_same_change
from tests.baselines.test_diffuser import present

SMALL: dict[str, Any] = {"hidden_dims": (32, 64), "horizon": 6, "diffusion_steps": 5}
HALF = {"inverse_hidden_dims": (16, 16), "quantiles": 7}


def weights(engine: Engine, network: str, slot: int, group: str = "params") -> dict[str, Tensor]:
    prefix = f"{group}/{network}/"
    state = {k: v for k, v in engine.state(slot).items() if k.startswith(prefix)}
    return {k.removeprefix(prefix): torch.tensor(v[0]) for k, v in state.items()}


def shares(numbers: Tensor, edges: Tensor) -> Tensor:
    """By NumPy's piecewise linear interpolation of the edges' ranks, dimension by dimension."""
    ranks = np.linspace(-1, 1, len(edges))
    columns = [
        np.interp(numbers[..., d].numpy(), edges[:, d].numpy(), ranks)
        for d in range(edges.shape[1])
    ]
    return torch.tensor(np.stack(columns, -1), dtype=torch.float32)


def losses(
    p: dict[str, dict[str, Tensor]], edges: Tensor, batch: Batch, noise: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Of one seed: of the model with its returns, and of the inverse dynamics."""
    states = shares(batch.observations, edges)
    index = (noise["step"] * 5).long()
    signal = torch.tensor(temporal_reference.signals(5), dtype=torch.float32)[index][..., None]
    fresh = noise["epsilon"].view(states.shape)
    x = signal.sqrt() * states + (1 - signal).sqrt() * fresh
    x[:, 0] = states[:, 0]
    embedded = temporal_reference.mlp(p["returns"], "", 3, batch.returns[:, :1] / 20)
    embedded[noise["return"][:, 0] < 0.25] = 0
    error = (temporal_reference.unet(p["model"], x, index + 1.0, embedded) - fresh).square()
    error[:, 0] = 0
    hidden = torch.cat([states[:, :-1], states[:, 1:]], -1)
    for i in range(3):
        weight, bias = p["inverse"][f"weight_{i}"], p["inverse"][f"bias_{i}"]
        hidden = (hidden if i == 0 else hidden.relu()) @ weight + bias
    return error.mean() / 2, (hidden - batch.actions[:, :-1]).square().mean() / 2


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    """All three networks by one Adam, windows with and without their returns, and the averages."""
    settings = {"learning_rate": 1e-3, "ema": 0.1, "return_scale": 20.0, "batch_size": 16}
    engine = make_engine("dd", transitions, **SMALL, **HALF, **settings)
    names = ("model", "returns", "inverse")
    starts = [{n: weights(engine, n, slot) for n in names} for slot in (0, 1)]
    edges = weights(engine, "edges", 0)["values"]
    seen = record(engine)
    engine.train(3)
    for slot, start in enumerate(starts):
        params = {n: {k: v.clone().requires_grad_() for k, v in start[n].items()} for n in names}
        average = {n: {k: v.clone() for k, v in start[n].items()} for n in names}
        adam = torch.optim.Adam([p for n in names for p in params[n].values()], lr=1e-3)
        for batch, noise in of_seed(seen, slot):
            assert 0 < batch.valid.mean() < 1
            assert 0 < (noise["return"] < 0.25).float().mean() < 1
            model, inverse = losses(params, edges, batch, dict(noise))
            adam.zero_grad()
            (model + inverse).backward()
            adam.step()
            for name in names:
                for key, value in params[name].items():
                    average[name][key].lerp_(value.data, 0.1)
        metrics = engine.metrics()
        assert metrics["model/loss"][slot] == pytest.approx(model.item(), rel=1e-3)
        assert metrics["inverse/loss"][slot] == pytest.approx(inverse.item(), rel=1e-3)
        for name in names:
            for group, expected in (("params", params), ("targets", average)):
                found = weights(engine, name, slot, group)
                assert_same_change(found, expected[name], start[name])


def test_numbers_become_uniform_by_their_shares() -> None:
    """Between edges linearly, beyond them at ±1, and ties by all of what is not above them."""
    edges = torch.tensor([[0.0, 1.0], [1.0, 1.0], [3.0, 1.0], [3.0, 2.0], [4.0, 2.0]])[None]
    numbers = torch.tensor([[-1.0, 0.0], [0.5, 1.0], [2.0, 1.5], [3.0, 2.0], [9.0, 9.0]])
    found = uniform(numbers.view(1, 1, 5, 2), edges)[0, 0]
    assert found[:, 0].tolist() == pytest.approx([-1, -0.75, -0.25, 0.5, 1])
    assert found[:, 1].tolist() == pytest.approx([-1, 0, 0.25, 1, 1])


def test_edges_are_the_datas_quantiles(transitions: Transitions) -> None:
    engine = make_engine("dd", transitions, **SMALL, **HALF)
    (observations,) = (engine.algorithm.facts.quantiles(7)[:, :OBS_DIM],)
    np.testing.assert_array_equal(weights(engine, "edges", 0)["values"].numpy(), observations)


def algorithm_of(**overrides: Any) -> DD:
    config = DDConfig(**{**SMALL, **HALF, **overrides})
    return DD(config, OBS_DIM, ACTION_DIM, facts=Facts())


def test_a_window_is_learned_with_its_return_or_without() -> None:
    algorithm = algorithm_of(horizon=2, return_scale=10.0, return_dropout=0.4)
    batch, seen = random_batch(1, 2, algorithm), []

    def model(x: Tensor, step: Tensor, condition: Tensor) -> Tensor:
        seen.append(condition)
        return torch.zeros_like(x)

    edges = torch.linspace(-1, 1, 3).view(1, 3, 1).expand(1, 3, OBS_DIM)
    nets = closed_form(
        {"model": model, "returns": lambda returns: returns + 1, "edges": lambda: edges}
    )
    noise = {
        "epsilon": torch.ones(1, 2, 2 * OBS_DIM),
        "step": torch.rand(1, 2, 1),
        "return": torch.tensor([[[0.39], [0.41]]]),
    }
    loss, _ = algorithm.model_loss(nets, batch, noise)
    assert float(loss) == pytest.approx(0.25)  # half of the mean over two states, one of them known
    assert float(seen[0][0, 0]) == 0
    assert float(seen[0][0, 1]) == pytest.approx(1 + float(batch.returns[0, 1, 0]) / 10)


def planned(noise: Tensor, state: Tensor, w: float) -> Tensor:
    """By the official sampler, for ε = x / 2 + 0.1 k + 0.3 c; the plan. noise: [K, L, D]."""
    signal = [1.0, *temporal_reference.signals(4)]
    x = 0.5 * noise[0]
    x[0] = state
    for t in (3, 2, 1, 0):
        alpha, bar, before = signal[t + 1] / signal[t], signal[t + 1], signal[t]
        free = x / 2 + 0.1 * (t + 1)
        epsilon = free + w * (free + 0.3 * 0.8 - free)
        clean = (x / bar**0.5 - (1 / bar - 1) ** 0.5 * epsilon).clamp(-1, 1)
        x = (before**0.5 * (1 - alpha) * clean + alpha**0.5 * (1 - before) * x) / (1 - bar)
        if t:
            variance = (1 - alpha) * (1 - before) / (1 - bar)
            x = x + variance**0.5 * 0.5 * noise[4 - t]
        x[0] = state
    return x


@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.5])
def test_acts_by_the_inverse_dynamics_of_a_guided_plan(guidance: float) -> None:
    algorithm = algorithm_of(horizon=3, diffusion_steps=4, guidance=guidance, target_return=0.8)
    noise = torch.randn(4, 3, OBS_DIM, generator=torch.Generator().manual_seed(1))
    observation = torch.tensor([0.3, -0.8, 0.1])
    edges = torch.linspace(-2, 2, 5).view(1, 5, 1).expand(1, 5, OBS_DIM)  # halves every number
    nets = closed_form(
        {
            "model": lambda x, step, c: x / 2 + 0.1 * step.unsqueeze(-1) + 0.3 * c.unsqueeze(-1),
            "returns": lambda returns: returns,
            "inverse": lambda before, after: torch.cat([before, after], -1),
            "edges": lambda: edges,
        }
    )
    found = algorithm.act(nets, present(observation), {"plan": noise.view(1, 1, -1)})[0, 0]
    plan = planned(noise, observation / 2, guidance)
    torch.testing.assert_close(found, plan[:2].flatten(), rtol=1e-4, atol=1e-5)


def guided(steps: int, guidance: float) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of states, by the exact ε of N(−0.1 + R / 4, 0.2²) at R = 0.8.

    It is affine in x_k, hence a state is affine in the noise and unit noises tell it all.
    """
    algorithm = algorithm_of(
        horizon=2, diffusion_steps=steps, guidance=guidance, target_return=0.8, temperature=1.0
    )
    signals = torch.tensor([1.0, *temporal_reference.signals(steps)])

    def exact(x: Tensor, step: Tensor, condition: Tensor) -> Tensor:
        signal = signals[step.long()].unsqueeze(-1)
        mean = condition.unsqueeze(-1) / 4 - 0.1
        return (1 - signal).sqrt() * (x - signal.sqrt() * mean) / (signal * 0.04 + 1 - signal)

    edges = torch.tensor([-1.0, 1.0]).view(1, 2, 1).expand(1, 2, OBS_DIM)
    nets = closed_form(
        {
            "model": exact,
            "returns": lambda returns: returns,
            "inverse": lambda _, after: after[..., :ACTION_DIM],
            "edges": lambda: edges,
        }
    )
    noise = torch.zeros(steps + 1, steps, 2, OBS_DIM)
    noise[1:] = torch.eye(steps).view(steps, steps, 1, 1)
    now = present(torch.zeros(OBS_DIM))
    episodes = History(*(x.expand(1, steps + 1, *x.shape[2:]) for x in now))
    states = algorithm.act(nets, episodes, {"plan": noise.view(1, steps + 1, -1)})[0]
    return states[0], (states[1:] - states[0]).square().sum(0).sqrt()


@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.5])
def test_exact_guidance_samples_the_gaussian_of_both(guidance: float) -> None:
    """p(x | R)^w p(x)^(1 − w) of N(0.1, 0.2²) and N(−0.1, 0.2²) is N(−0.1 + 0.2 w, 0.2²).

    Errors fall as 1 / K: twice as many steps tell what infinitely many would give.
    """
    fewer, more = guided(200, guidance), guided(400, guidance)
    mean, std = (2 * b - a for a, b in zip(fewer, more, strict=True))
    shifted = torch.full((ACTION_DIM,), -0.1 + 0.2 * guidance)
    torch.testing.assert_close(mean, shifted, rtol=0, atol=1e-3)
    torch.testing.assert_close(std, torch.full((ACTION_DIM,), 0.2), rtol=0, atol=2e-3)


def forks(n: int = 256) -> Transitions:
    """Episodes of two steps: an action of ±0.7 leads there and pays 1, or costs 1."""
    rng = np.random.default_rng(0)
    right = rng.integers(2, size=n)
    actions = np.where(right, 0.7, -0.7)[:, None] + 0.1 * rng.standard_normal((n, 2))
    after = np.repeat(actions[:, :1], 2, 1)
    start = 0.1 * rng.standard_normal((n, 2))
    return Transitions.pack(
        observations=np.stack([start, after], 1).reshape(2 * n, 2),
        actions=np.stack([actions, 0 * actions], 1).reshape(2 * n, 2),
        rewards=np.stack([2 * right - 1, 0 * right], 1).reshape(-1).astype(float),
        next_observations=np.stack([after, after], 1).reshape(2 * n, 2),
        terminals=np.arange(2 * n) % 2 == 1,
        timeouts=np.zeros(2 * n, bool),
    )


@pytest.mark.parametrize("target", [1, -1])
def test_acts_for_the_return_that_it_is_asked_for(target: float) -> None:
    """At a fork of which one way pays and the other costs."""
    engine = make_engine(
        "dd",
        forks(),
        offline_steps=60,
        hidden_dims=(16,),
        horizon=2,
        diffusion_steps=5,
        inverse_hidden_dims=(32,),
        learning_rate=5e-3,
        ema=0.1,
        return_scale=1.0,
        target_return=target,
        termination_penalty=0.0,
        discount=1.0,
    )
    engine.train(60)
    actions = engine.policy("test")(np.zeros((2, 200, 2), np.float32))
    assert (np.abs(actions[..., 0] - 0.7 * target) < 0.4).mean(1).min() > 0.9


def test_the_preflight_has_no_remarks() -> None:
    assert check(DD, DDConfig(), OBS_DIM, ACTION_DIM) == []
