"""The one-token transformer against modules of `torch.nn`, attention included."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from algorithms.blocks.diffusion_transformer import OneTokenTransformer
from tests.algorithms.reference import random_params

SEEDS, BATCH, OBS, ACT, WIDTH, BLOCKS = 2, 5, 3, 2, 8, 2


def _linear(params: Mapping[str, Any], name: str) -> nn.Linear:
    weight, bias = (torch.as_tensor(params[f"{kind}_{name}"][0]) for kind in ("weight", "bias"))
    layer = nn.Linear(*weight.shape)
    layer.weight.data, layer.bias.data = weight.T.clone(), bias[0].clone()
    return layer


def _norm(params: Mapping[str, Any], name: str) -> nn.RMSNorm:
    scale = torch.as_tensor(params[f"scale_{name}"])[0, 0]
    layer = nn.RMSNorm(len(scale), eps=1e-6)
    layer.weight.data = scale.clone()
    return layer


class Block(nn.Module):
    """A transformer's block with adaptive norms, over one token."""

    def __init__(self, params: Mapping[str, Any], i: int) -> None:
        super().__init__()
        self.modulate = _linear(params, f"modulate_{i}")
        self.first, self.second = (
            _norm(params, f"attention_{i}"),
            _norm(params, f"mlp_{i}"),
        )
        self.value, self.mixed = _linear(params, f"value_{i}"), _linear(params, f"mixed_{i}")
        self.wide, self.narrow = _linear(params, f"wide_{i}"), _linear(params, f"narrow_{i}")

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        root = math.sqrt(x.shape[1])
        b1, a1, g1, b2, a2, g2 = self.modulate(F.silu(condition)).tensor_split(6, 1)
        token = (self.first(x) * root * (1 + a1) + b1).unsqueeze(1)
        query = torch.randn_like(token)  # a token's attention to itself alone is 1 for any
        seen = F.scaled_dot_product_attention(query, query, self.value(token))
        x = x + g1 * self.mixed(seen[:, 0])
        seen = self.second(x) * root * (1 + a2) + b2
        return x + g2 * self.narrow(F.gelu(self.wide(seen), approximate="tanh"))


class TransformerModel(nn.Module):
    """g(s, x, t) of one seed's params `[1, ...]`."""

    def __init__(self, params: Mapping[str, Any], blocks: int) -> None:
        super().__init__()
        self.enter, self.out = _linear(params, "in"), _linear(params, "out")
        self.time_0, self.time_1 = _linear(params, "time_0"), _linear(params, "time_1")
        self.modulate, self.norm = _linear(params, "modulate_out"), _norm(params, "out")
        self.blocks = nn.ModuleList(Block(params, i) for i in range(blocks))

    def forward(self, observations: Tensor, x: Tensor, time: Tensor) -> Tensor:
        angles = time * torch.tensor([10_000 ** (-i / 128) for i in range(128)])
        features = torch.cat([torch.cos(angles), torch.sin(angles)], 1)
        condition = self.time_1(F.silu(self.time_0(features)))
        x = self.enter(torch.cat([observations, x], 1))
        for block in self.blocks:
            x = 0.9 * x + 0.1 * block(x, condition)
        shift, scale = self.modulate(F.silu(condition)).tensor_split(2, 1)
        root = math.sqrt(x.shape[1])
        return self.out(self.norm(x) * root * (1 + scale) + shift)


def _inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    observations = torch.randn(SEEDS, BATCH, OBS, generator=generator)
    x = torch.randn(SEEDS, BATCH, ACT, generator=generator)
    return observations, x, torch.rand(SEEDS, BATCH, 1, generator=generator)


def test_it_is_a_transformer_of_one_token() -> None:
    network = OneTokenTransformer(OBS + ACT, ACT, WIDTH, BLOCKS)
    params = random_params({"net": network}, SEEDS)["net"]
    inputs = _inputs()
    found = network(params, *inputs)
    for seed in range(SEEDS):
        model = TransformerModel({k: v[seed] for k, v in params.items()}, BLOCKS)
        expected = model(*(each[seed] for each in inputs))
        torch.testing.assert_close(found[seed], expected, rtol=1e-4, atol=1e-5)


def test_it_begins_at_zero_with_small_weights() -> None:
    network = OneTokenTransformer(OBS + ACT, ACT, 64, BLOCKS)
    params = network.init(torch.Generator().manual_seed(0))
    stacked = {k: torch.stack([v] * SEEDS) for k, v in params.items()}
    assert not network(stacked, *_inputs()).any()
    for name in ("value_0", "wide_1", "narrow_0", "time_0"):
        weight = params[f"weight_{name}"]
        assert float(weight.std()) == pytest.approx(0.1 / math.sqrt(weight.shape[1]), rel=0.05)
