"""EDM's denoiser against the formulas of arXiv:2206.00364 and Gaussian closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.blocks.edm import denoising_loss, noise_level

DATA = 0.5


def _sigma(uniform: float) -> float:
    """The log-logistic quantile between the bounds, with the official code's logits."""
    low, high = (
        1 / (1 + math.exp(-(math.log(bound) - math.log(DATA)) / 0.5)) for bound in (0.002, 80)
    )
    u = low + (high - low) * uniform
    return math.exp(0.5 * math.log(u / (1 - u)) + math.log(DATA))


@pytest.mark.parametrize("uniform", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_noise_levels_are_log_logistic_between_their_bounds(uniform: float) -> None:
    sigma = float(noise_level(torch.full((1, 1, 1), uniform)))
    assert sigma == pytest.approx(_sigma(uniform), rel=2e-3)
    assert 0.00199 < sigma < 80.2


def test_the_loss_equals_a_loop_over_transitions() -> None:
    """Some denoised actions are beyond ±1, where they are clipped."""
    generator = torch.Generator().manual_seed(0)
    seeds, batch = 2, 32
    observations = torch.randn(seeds, batch, 3, generator=generator)
    actions = 2 * torch.rand(seeds, batch, 2, generator=generator) - 1
    noise = torch.randn(seeds, batch, 2, generator=generator)
    uniform = torch.rand(seeds, batch, 1, generator=generator)

    def model(s: Tensor, x: Tensor, step: Tensor) -> Tensor:
        return 3 * torch.sin(3 * x) * s[..., :2] + step

    loss = denoising_loss(model, observations, actions, noise, uniform)
    clipped = 0
    for seed in range(seeds):
        errors = []
        for b in range(batch):
            sigma = _sigma(float(uniform[seed, b]))
            x = actions[seed, b] + sigma * noise[seed, b]
            total = sigma**2 + DATA**2
            c_skip, c_out, c_in = DATA**2 / total, sigma * DATA / total**0.5, total**-0.5
            step = torch.tensor([math.log(sigma) / 4])
            denoised = c_skip * x + c_out * model(observations[seed, b], c_in * x, step)
            clipped += int((denoised.abs() > 1).sum())
            errors.append(float((((denoised.clip(-1, 1) - actions[seed, b]) / c_out) ** 2).mean()))
        assert float(loss[seed]) == pytest.approx(np.mean(errors), rel=1e-3)
    assert 5 < clipped < seeds * batch * 2 - 5


@pytest.mark.parametrize(("constant", "expected"), [(0.0, 1.0), (0.5, 1.25), (-0.5, 1.25)])
def test_the_network_s_goal_has_mean_zero_and_variance_one(
    constant: float, expected: float
) -> None:
    """For N(0, 0.5²) the mean of a given x is c_skip x and its variance c_out²."""
    generator = torch.Generator().manual_seed(1)
    shape = (1, 40_000, 1)
    actions, noise = torch.randn(2, *shape, generator=generator)
    uniform = torch.rand(shape, generator=generator)

    def model(_s: Tensor, x: Tensor, _t: Tensor) -> Tensor:
        return torch.full_like(x, constant)

    # As often beyond ±1, where the loss clips, as a normal number is beyond two deviations.
    loss = denoising_loss(model, torch.zeros(shape), 0.5 * actions, noise, uniform)
    assert float(loss) == pytest.approx(expected, rel=0.05)
