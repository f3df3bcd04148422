"""The temporal U-Net and value network against PyTorch's own convolutions and group norm."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from algorithms.blocks.temporal_unet import TemporalUNet, TemporalValue
from tests.algorithms import temporal_reference
from tests.algorithms.reference import random_params


def plans(length: int, dim: int = 5) -> tuple[Tensor, Tensor]:
    """Of two seeds, three each, and diffusion steps."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, 3, length, dim, generator=generator)
    return x, torch.tensor([1.0, 7.0, 20.0]).view(1, 3, 1).expand(2, -1, -1)


@pytest.mark.parametrize("condition_dim", [0, 6])
def test_the_unet_equals_plain_convolutions(condition_dim: int) -> None:
    network = TemporalUNet(5, (32, 64), condition_dim)
    params = random_params({"unet": network}, 2)["unet"]
    x, step = plans(8)
    more = [torch.randn(2, 3, condition_dim)] if condition_dim else []
    found = network(params, x, step, *more)
    for seed in (0, 1):
        own = {name: value[seed, 0] for name, value in params.items()}
        expected = temporal_reference.unet(own, x[seed], step[seed], *(c[seed] for c in more))
        torch.testing.assert_close(found[seed], expected, rtol=1e-4, atol=1e-5)


def test_the_value_equals_plain_convolutions() -> None:
    network = TemporalValue(5, (32, 128), 32)
    params = random_params({"value": network}, 2)["value"]
    x, step = plans(32)
    found = network(params, x, step)
    for seed in (0, 1):
        own = {name: value[seed, 0] for name, value in params.items()}
        expected = temporal_reference.value(own, x[seed], step[seed])
        torch.testing.assert_close(found[seed], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 5, 7, 12])
def test_plans_may_have_any_number_of_steps(length: int) -> None:
    x, step = plans(length)
    unet, value = TemporalUNet(5, (8, 16, 24)), TemporalValue(5, (8, 16, 24), length)
    params = random_params({"unet": unet, "value": value}, 2)
    assert unet(params["unet"], x, step).shape == x.shape
    assert value(params["value"], x, step).shape == (2, 3)


def test_layers_begin_as_pytorchs() -> None:
    params = TemporalUNet(5, (32, 64)).init(torch.Generator().manual_seed(0))
    for name, fan_in in (
        ("down_0_0_first", 5 * 5),
        ("down_1_0_skip", 32),
        ("down_1_1_embedding", 32),
        ("coarser_0", 3 * 32),
        ("finer_0", 4 * 32),
        ("last", 5 * 32),
        ("out", 32),
    ):
        weight, bound = params[f"weight_{name}"], 1 / math.sqrt(fan_in)
        assert weight.shape[1] == fan_in
        assert 0.9 * bound < float(weight.abs().max()) <= bound
        assert 0.8 * bound < math.sqrt(3) * float(weight.std()) < 1.2 * bound
        assert float(params[f"bias_{name}"].abs().max()) <= bound
