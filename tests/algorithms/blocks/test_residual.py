"""The residual MLP against `torch.nn`, and its dropout by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from algorithms.blocks.residual import ResidualMLP
from algorithms.networks import Params
from tests.algorithms.reference import random_params

SEEDS, BATCH = 2, 6


class Block(nn.Module):
    def __init__(self, width: int, activation: type[nn.Module]) -> None:
        super().__init__()
        self.activation = activation()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.narrow(self.activation(self.wide(self.norm(x))))


def modules(
    params: Params, seed: int, blocks: int, activation: type[nn.Module] = nn.SiLU
) -> nn.Sequential:
    width = params["scale_0"].shape[-1]
    layers = [nn.Linear(5, width), *(Block(width, activation) for _ in range(blocks)), activation()]
    network = nn.Sequential(*layers, nn.Linear(width, 2))
    of = {name: value[seed, 0] for name, value in params.items()}

    def fill(linear: nn.Linear, name: str) -> None:
        linear.weight.data = of[f"weight_{name}"].T.contiguous()
        linear.bias.data = of[f"bias_{name}"][0]

    fill(network[0], "in")
    fill(network[-1], "out")
    for i in range(blocks):
        block = network[1 + i]
        block.norm.weight.data, block.norm.bias.data = of[f"scale_{i}"][0], of[f"shift_{i}"][0]
        fill(block.wide, f"wide_{i}")
        fill(block.narrow, f"narrow_{i}")
    return network


def test_a_seed_of_the_bank_equals_modules() -> None:
    network = ResidualMLP(5, 2, width=8, blocks=3, activation="silu")
    params = random_params({"net": network}, SEEDS)["net"]
    generator = torch.Generator().manual_seed(0)
    observations, actions = (torch.randn(SEEDS, BATCH, d, generator=generator) for d in (3, 2))
    output = network(params, observations, actions)
    assert output.shape == (SEEDS, BATCH, 2)
    for seed in range(SEEDS):
        x = torch.cat([observations[seed], actions[seed]], -1)
        expected = modules(params, seed, 3)(x)
        torch.testing.assert_close(output[seed], expected, rtol=1e-4, atol=1e-5)


def test_dropout_acts_with_a_key_alone_and_spares_the_residual_path() -> None:
    """At a rate near 1 the blocks see zeros, of which layer norm makes its shift."""
    network = ResidualMLP(5, 2, width=8, blocks=1, dropout=0.999999)
    params = random_params({"net": network}, SEEDS)["net"]
    x = torch.randn(SEEDS, BATCH, 5, generator=torch.Generator().manual_seed(1))
    key = torch.tensor([3, 4])
    assert torch.equal(network(params, x), network(params, x, key=None))
    silenced = {**params, "scale_0": torch.zeros_like(params["scale_0"])}
    torch.testing.assert_close(network(params, x, key=key), network(silenced, x))
    assert not torch.allclose(network(params, x, key=key), network(params, x))
