"""Residual noise networks against `torch.nn`, and IDQL's walk against the chain's coefficients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from algorithms.blocks.diffusion import Epsilon, walk_back
from algorithms.blocks.noise_networks import LearnedWavesNetwork, ResidualNoiseNetwork
from algorithms.engine.engine import Engine
from algorithms.networks import Activation
from tests.algorithms.blocks.test_diffusion import betas
from tests.algorithms.blocks.test_residual import modules
from tests.algorithms.reference import members, random_params

SEEDS, BATCH, OBS, ACT = 2, 6, 3, 2


class ResidualNoiseModel(nn.Module):
    """The network without dropout as modules. params: one seed's `[1, ...]`."""

    def __init__(self, network: ResidualNoiseNetwork, params: Mapping[str, Any]) -> None:
        super().__init__()
        copies = {name: torch.as_tensor(value).clone() for name, value in params.items()}
        own = {k.removeprefix("time_"): v for k, v in copies.items() if k.startswith("time_")}
        (self.embed,) = members(network.embedding, own)
        stacked = {k: v[None] for k, v in copies.items() if not k.startswith("time_")}
        activation = {"silu": nn.SiLU, "mish": nn.Mish}[network.activation]
        self.body = modules(stacked, 0, network.blocks, activation)

    def forward(self, observations: Tensor, x: Tensor, waves: Tensor) -> Tensor:
        return self.body(torch.cat([x, observations, self.embed(waves)], 1))


class LearnedWavesModel(nn.Module):
    """IDQL's network as modules. params: one seed's `[1, ...]`."""

    def __init__(self, network: LearnedWavesNetwork, params: Mapping[str, Any]) -> None:
        super().__init__()
        rest = {name: value for name, value in params.items() if name != "frequencies"}
        self.frequencies = nn.Parameter(torch.as_tensor(params["frequencies"]).clone()[0, 0])
        self.of_waves = ResidualNoiseModel(network.of_waves, rest)

    def forward(self, observations: Tensor, x: Tensor, k: Tensor) -> Tensor:
        """x_k `[B, action_dim]`, k `[B]` from 1 on."""
        angles = 2 * math.pi * (k[:, None] - 1) * self.frequencies
        waves = torch.cat([torch.cos(angles), torch.sin(angles)], 1)
        return self.of_waves(observations, x, waves)


def learned_residual(engine: Engine, slot: int, group: str = "params") -> LearnedWavesModel:
    """The policy of the seed in `slot`."""
    prefix = f"{group}/actor/"
    state = engine.state(slot).items()
    params = {key.removeprefix(prefix): v for key, v in state if key.startswith(prefix)}
    return LearnedWavesModel(engine.algorithm.networks["actor"], params)


def walk(epsilon: Epsilon, observations: Tensor, noise: Tensor, steps: int) -> Tensor:
    """One state at a time, with β and ᾱ by the chain's own recursion. noise: [B, K * ACT]."""
    beta = betas(steps)
    bar = np.cumprod(1 - beta)
    draws = noise.view(len(observations), steps, -1)
    actions = []
    for b in range(len(observations)):
        x = draws[b, 0]
        for i in reversed(range(steps)):
            (predicted,) = epsilon(observations[b, None], x[None], torch.tensor([i + 1]))
            x = (x - beta[i] / math.sqrt(1 - bar[i]) * predicted) / math.sqrt(1 - beta[i])
            x = x + (math.sqrt(beta[i]) * draws[b, steps - i] if i else 0)
            x = x.clip(-1, 1)
        actions.append(x)
    return torch.stack(actions)


def _draw(*shape: int, stream: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(stream))


def clipped(epsilon: Epsilon, observations: Tensor, noise: Tensor, steps: int) -> Tensor:
    """Actions as IDQL draws them."""
    return walk_back(epsilon, observations, noise, steps, variance="added", clip="point")[0]


@pytest.mark.parametrize("activation", ["silu", "mish"])
def test_a_seed_of_waves_equals_modules(activation: Activation) -> None:
    network = ResidualNoiseNetwork(OBS, ACT, 8, 2, 0.0, 6, 4, activation)
    params = random_params({"net": network}, SEEDS)["net"]
    inputs = [_draw(SEEDS, BATCH, dim, stream=dim) for dim in (OBS, ACT, 6)]
    output = network(params, *inputs)
    for seed in range(SEEDS):
        model = ResidualNoiseModel(network, {key: value[seed] for key, value in params.items()})
        expected = model(*(each[seed] for each in inputs))
        torch.testing.assert_close(output[seed], expected, rtol=1e-4, atol=1e-5)


def test_a_seed_of_the_bank_equals_modules() -> None:
    network = LearnedWavesNetwork(OBS, ACT, width=8, blocks=2)
    params = random_params({"actor": network}, SEEDS)["actor"]
    observations, x = _draw(SEEDS, BATCH, OBS), _draw(SEEDS, BATCH, ACT, stream=1)
    step = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 1.0]).expand(SEEDS, -1).unsqueeze(-1)
    output = network(params, observations, x, step)
    for seed in range(SEEDS):
        model = LearnedWavesModel(network, {key: value[seed] for key, value in params.items()})
        expected = model(observations[seed], x[seed], step[seed, :, 0])
        torch.testing.assert_close(output[seed], expected, rtol=1e-4, atol=1e-5)


def test_frequencies_begin_with_the_deviation_of_the_official_code() -> None:
    network = LearnedWavesNetwork(OBS, ACT, width=64, blocks=1)
    draws = [network.init(torch.Generator().manual_seed(i))["frequencies"] for i in range(64)]
    assert draws[0].shape == (1, 1, 16)
    assert float(torch.stack(draws).std()) == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_samples_are_those_of_a_walk_of_one_state(steps: int) -> None:
    """Of small noise and a network that says little, so that not all ends at the bounds."""
    network = LearnedWavesNetwork(OBS, ACT, width=8, blocks=1)
    params = random_params({"actor": network}, SEEDS)["actor"]
    observations, noise = _draw(SEEDS, BATCH, OBS), _draw(SEEDS, BATCH, steps * ACT, stream=1)
    noise = 0.05 * noise
    actions = clipped(lambda *i: network(params, *i) / 20, observations, noise, steps)
    assert actions.shape == (SEEDS, BATCH, ACT)
    assert (actions.abs() < 1).float().mean() > 0.5
    for seed in range(SEEDS):
        model = LearnedWavesModel(network, {key: value[seed] for key, value in params.items()})
        expected = walk(
            lambda *i, model=model: model(*i) / 20, observations[seed], noise[seed], steps
        )
        torch.testing.assert_close(actions[seed], expected, rtol=1e-4, atol=1e-5)


def test_every_step_but_the_first_begins_inside_the_box() -> None:
    seen: list[Tensor] = []

    def watch(_observations: Tensor, x: Tensor, _k: Tensor) -> Tensor:
        seen.append(x)
        return 10 * x

    clipped(watch, torch.zeros(1, 50, OBS), 3 * _draw(1, 50, 5 * ACT), 5)
    first, *later = [float(x.abs().max()) for x in seen]
    assert first > 1
    assert later == [1.0] * 4
