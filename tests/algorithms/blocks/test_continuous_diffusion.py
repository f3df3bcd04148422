"""The continuous-time diffusion model against its SDE, and its network against `torch.nn`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from algorithms.blocks.continuous_diffusion import (
    FourierFeatures,
    ResidualNoiseModel,
    signal_and_noise,
)
from tests.algorithms.reference import members, random_params

SEEDS, BATCH, OBS, ACT = 2, 6, 3, 2


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(nn.functional.mish(self.wide(self.norm(x))))


class NoiseModel(nn.Module):
    """The network without dropout as modules. params and frequencies: one seed's `[1, ...]`."""

    def __init__(
        self, network: ResidualNoiseModel, params: Mapping[str, Any], frequencies: Any
    ) -> None:
        super().__init__()
        of = {name: torch.as_tensor(value[0]).clone() for name, value in params.items()}

        def linear(name: str) -> nn.Linear:
            layer = nn.Linear(*of[f"weight_{name}"].shape)
            layer.weight.data = of[f"weight_{name}"].T.contiguous()
            layer.bias.data = of[f"bias_{name}"][0]
            return layer

        self.frequencies = torch.as_tensor(frequencies).flatten()
        own = {k.removeprefix("time_"): v for k, v in params.items() if k.startswith("time_")}
        (self.embedding,) = members(network.embedding, own)
        self.first, self.last = linear("in"), linear("out")
        self.blocks = nn.ModuleList(Block(network.width) for _ in range(network.blocks))
        for i, block in enumerate(self.blocks):
            block.norm.weight.data, block.norm.bias.data = of[f"scale_{i}"][0], of[f"shift_{i}"][0]
            block.wide, block.narrow = linear(f"wide_{i}"), linear(f"narrow_{i}")

    def forward(self, observations: Tensor, x: Tensor, time: Tensor) -> Tensor:
        """time: [B, 1]."""
        angles = 2 * math.pi * (time * self.frequencies)
        embedded = self.embedding(torch.cat([torch.sin(angles), torch.cos(angles)], 1))
        x = self.first(torch.cat([x, observations, embedded], 1))
        for block in self.blocks:
            x = block(x)
        return self.last(nn.functional.mish(x))


@pytest.mark.parametrize("time", [0.001, 0.02, 0.3, 1.0])
def test_the_schedule_solves_the_variance_preserving_sde(time: float) -> None:
    """dx = −β x / 2 dt + √β dw with β from 0.1 to 20, in many small steps from a point."""
    mean, variance, steps = 1.0, 0.0, 20_000
    for i in range(steps):
        beta = (0.1 + 19.9 * time * (i + 0.5) / steps) * time / steps
        mean, variance = mean * math.exp(-beta / 2), 1 - (1 - variance) * math.exp(-beta)
    alpha, sigma = signal_and_noise(torch.full((1, 1, 1), time))
    assert float(alpha) == pytest.approx(mean, rel=1e-5)
    assert float(sigma) == pytest.approx(math.sqrt(variance), rel=1e-4)


def test_a_seed_of_the_bank_equals_modules() -> None:
    networks = {
        "model": ResidualNoiseModel(OBS, ACT, width=8, blocks=2),
        "features": FourierFeatures(),
    }
    params = random_params(networks, SEEDS)
    generator = torch.Generator().manual_seed(0)
    observations, x = (torch.randn(SEEDS, BATCH, d, generator=generator) for d in (OBS, ACT))
    time = torch.rand(SEEDS, BATCH, 1, generator=generator)
    features = networks["features"](params["features"], time)
    output = networks["model"](params["model"], observations, x, features)
    for seed in range(SEEDS):
        own = {name: value[seed] for name, value in params["model"].items()}
        modules = NoiseModel(networks["model"], own, params["features"]["frequencies"][seed])
        expected = modules(observations[seed], x[seed], time[seed])
        torch.testing.assert_close(output[seed], expected, rtol=1e-4, atol=1e-4)


def test_frequencies_are_normal_with_a_deviation_of_thirty_turns_and_each_seed_s_own() -> None:
    drawn = [
        FourierFeatures().init(torch.Generator().manual_seed(seed))["frequencies"].numpy()
        for seed in range(40)
    ]
    assert np.std(drawn) == pytest.approx(30, rel=0.1)
    assert abs(np.mean(drawn)) < 3
    assert len({d.tobytes() for d in drawn}) == 40
