"""The networks of a continuous-time diffusion against modules of `torch.nn`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from algorithms.blocks.score_networks import GuidanceNetwork, ScoreUNet, fourier_features
from algorithms.engine.engine import Engine
from tests.algorithms.reference import members, random_params

SEEDS, BATCH, OBS, ACT = 2, 6, 3, 2
FREQUENCIES = [30 * NormalDist().inv_cdf(0.5 + (i + 0.5) / 32) for i in range(16)]


def _linear(params: Mapping[str, Any], name: str) -> nn.Linear:
    weight, bias = (torch.as_tensor(params[f"{kind}_{name}"][0]) for kind in ("weight", "bias"))
    layer = nn.Linear(*weight.shape)
    layer.weight.data, layer.bias.data = weight.T.clone(), bias[0].clone()
    return layer


class Block(nn.Module):
    """SfBC's residual block."""

    def __init__(self, params: Mapping[str, Any], name: str) -> None:
        super().__init__()
        self.first, self.second = (
            _linear(params, f"first_{name}"),
            _linear(params, f"second_{name}"),
        )
        self.condition = _linear(params, f"condition_{name}")
        skip = f"weight_skip_{name}" in params
        self.skip = _linear(params, f"skip_{name}") if skip else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        hidden = F.silu(self.first(x)) + self.condition(F.silu(condition))
        return F.silu(self.second(hidden)) + self.skip(x)


class ScoreModel(nn.Module):
    """The U-net of three widths, of one seed's params `[1, ...]`."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        super().__init__()
        self.observations, self.time = _linear(params, "observations"), _linear(params, "time")
        self.hidden = _linear(params, "condition_0")
        self.condition = _linear(params, "condition_1")
        names = ("down_0", "down_1", "down_2", "middle", "up_2", "up_1")
        self.blocks = nn.ModuleList(Block(params, name) for name in names)
        self.out = _linear(params, "out")

    def forward(self, observations: Tensor, x: Tensor, time: Tensor) -> Tensor:
        seen, embedded = F.silu(self.observations(observations)), self.time(fourier_features(time))
        condition = self.condition(F.silu(self.hidden(torch.cat([seen, embedded], 1))))
        first, second, third, middle, up_third, up_second = self.blocks
        d1 = first(x, condition)
        d2 = second(d1, condition)
        d3 = third(d2, condition)
        u2 = up_third(torch.cat([d3, middle(d3, condition)], 1), condition)
        u1 = up_second(torch.cat([d2, u2], 1), condition)
        return self.out(torch.cat([d1, u1], 1))


class GuidanceModel(nn.Module):
    """f(s, x, t) of one seed's params `[1, ...]`."""

    def __init__(self, network: GuidanceNetwork, params: Mapping[str, Any]) -> None:
        super().__init__()
        self.time = _linear(params, "time")
        (self.body,) = members(network.body, params)

    def forward(self, observations: Tensor, x: Tensor, time: Tensor) -> Tensor:
        return self.body(torch.cat([observations, x, self.time(fourier_features(time))], 1))[:, 0]


def learned_params(engine: Engine, name: str, slot: int) -> dict[str, Any]:
    """A network's params of the seed in `slot`."""
    prefix = f"params/{name}/"
    state = engine.state(slot).items()
    return {key.removeprefix(prefix): v for key, v in state if key.startswith(prefix)}


def _inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    observations, x = (torch.randn(SEEDS, BATCH, d, generator=generator) for d in (OBS, ACT))
    return observations, x, torch.rand(SEEDS, BATCH, 1, generator=generator)


def test_time_features_are_sines_and_cosines_at_the_quantiles_of_a_half_normal() -> None:
    time = torch.tensor([[0.001], [0.3], [1.0]])
    angles = 2 * math.pi * torch.tensor(FREQUENCIES) * time
    expected = torch.cat([angles.sin(), angles.cos()], 1)
    torch.testing.assert_close(fourier_features(time), expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("widths", [(12, 8, 6), (8, 8, 8)])
def test_a_seed_of_the_u_net_equals_modules(widths: tuple[int, ...]) -> None:
    network = ScoreUNet(OBS, ACT, widths)
    params, inputs = random_params({"net": network}, SEEDS)["net"], _inputs()
    output = network(params, *inputs)
    assert output.shape == (SEEDS, BATCH, ACT)
    for seed in range(SEEDS):
        model = ScoreModel({name: value[seed] for name, value in params.items()})
        assert sum(p.numel() for p in model.parameters()) == sum(
            v[0].numel() for v in params.values()
        )
        expected = model(*(x[seed] for x in inputs))
        torch.testing.assert_close(output[seed], expected, rtol=1e-4, atol=1e-4)


def test_a_seed_of_the_guidance_equals_modules() -> None:
    network = GuidanceNetwork(OBS, ACT, (8, 8))
    params, inputs = random_params({"net": network}, SEEDS)["net"], _inputs()
    output = network(params, *inputs)
    assert output.shape == (SEEDS, BATCH)
    for seed in range(SEEDS):
        model = GuidanceModel(network, {name: value[seed] for name, value in params.items()})
        torch.testing.assert_close(
            output[seed], model(*(x[seed] for x in inputs)), rtol=1e-4, atol=1e-4
        )
