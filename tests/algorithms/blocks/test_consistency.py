"""A consistency model against the official code's rules in plain PyTorch and a closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.blocks.consistency import (
    UpdateCount,
    consistency,
    consistency_loss,
    level,
    noise_levels,
    sample,
)

LOW, HIGH, DATA = 0.002, 80.0, 0.5


def levels(update: int, updates: int) -> int:
    """The official code's schedule (s_0 = 2, s_1 = 150)."""
    return math.ceil(math.sqrt(update * (150**2 - 2**2) / updates + 2**2) - 1) + 1


def boundary(index: int, count: int) -> float:
    """Karras et al., Eq. 5, from the lowest up."""
    low, high = LOW ** (1 / 7), HIGH ** (1 / 7)
    return float((low + index / (count - 1) * (high - low)) ** 7)


def denoised(network: Callable[[Tensor, Tensor], Tensor], x: Tensor, sigma: Tensor) -> Tensor:
    """f(x, σ) with the official code's scalings."""
    c_skip = 0.25 / ((sigma - LOW) ** 2 + 0.25)
    c_out = 0.5 * (sigma - LOW) / (sigma**2 + 0.25) ** 0.5
    return c_skip * x + c_out * network(x, sigma)


@pytest.mark.parametrize("updates", [1, 7, 50_000])
def test_levels_of_noise_grow_from_2_to_150(updates: int) -> None:
    done = np.unique(np.linspace(0, updates - 1, 50).astype(int))
    found = noise_levels(torch.tensor(done) / updates)
    assert found.tolist() == [levels(int(i), updates) for i in done]
    assert found[0] == 2
    assert float(noise_levels(torch.ones(1))) == 150


@pytest.mark.parametrize("count", [2, 3, 150])
def test_levels_go_from_the_least_noise_to_the_most(count: int) -> None:
    index = torch.arange(count).float()
    found = level(index, torch.tensor(float(count)))
    expected = [boundary(i, count) for i in range(count)]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_allclose([expected[0], expected[-1]], [LOW, HIGH])


def test_where_there_is_least_noise_nothing_is_changed() -> None:
    x = torch.randn(1, 4, 2)
    sigma = torch.full((1, 4, 1), LOW)
    found = consistency(lambda _s, y, _t: torch.full_like(y, 1e3), x, x, sigma)
    torch.testing.assert_close(found, x)


def test_the_loss_equals_a_loop_over_transitions() -> None:
    """Two seeds, of 2 and 9 levels."""
    generator = torch.Generator().manual_seed(0)
    seeds, batch = 2, 24
    observations = torch.randn(seeds, batch, 3, generator=generator)
    actions, noise = torch.randn(2, seeds, batch, 2, generator=generator)
    uniform = torch.rand(seeds, batch, 1, generator=generator)

    def model(s: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        return torch.sin(x) * s[..., :2] + torch.log(sigma)

    def teacher(s: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        return torch.cos(x + s[..., 1:]) * sigma

    counts = torch.tensor([2.0, 9.0])
    loss = consistency_loss(model, teacher, observations, actions, noise, uniform, counts)
    for seed, count in enumerate((2, 9)):
        errors = []
        for b in range(batch):
            s, a, z = (x[seed, b] for x in (observations, actions, noise))
            n = int(float(uniform[seed, b]) * (count - 1))
            low, high = (torch.tensor([boundary(i, count)]) for i in (n, n + 1))
            goal = denoised(lambda x, sigma, s=s: teacher(s, x, sigma), a + low * z, low)  # type: ignore[misc]
            found = denoised(lambda x, sigma, s=s: model(s, x, sigma), a + high * z, high)  # type: ignore[misc]
            errors.append(float((100 / (high - low) * (found - goal) ** 2).mean()))
        assert float(loss[seed]) == pytest.approx(np.mean(errors), rel=1e-3)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_samples_go_from_80_to_2_in_even_steps(steps: int) -> None:
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(1, 64, steps * 2, generator=generator)
    seen = []

    def model(_s: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        seen.append(float(sigma[0, 0, 0]))
        return 3 * torch.sin(x / 10)

    found = sample(model, torch.zeros(1, 64, 1), noise, steps)
    assert seen == pytest.approx(np.linspace(80, 2, steps).tolist())
    draws = noise[0].view(64, steps, 2)
    x = torch.zeros(64, 2)
    for i, sigma in enumerate(np.linspace(80, 2, steps)):
        x = x + math.sqrt(sigma**2 - (LOW**2 if i else 0)) * draws[:, i]
        x = denoised(lambda y, _t: 3 * torch.sin(y / 10), x, torch.full((64, 1), sigma))
    torch.testing.assert_close(found[0], x.clip(-1, 1).float(), rtol=1e-4, atol=1e-5)
    assert 0 < (found.abs() == 1).float().mean() < 1


@pytest.mark.parametrize("count", [2, 150])
def test_the_loss_is_least_where_the_ode_of_a_gaussian_leads_if_levels_are_many(count: int) -> None:
    """Of N(0, 0.5²) the ODE takes x at σ to f = x √(0.5² + 0.002²) / √(0.5² + σ²).

    With this teacher, the best multiple of f at σ_{n+1} is E[a + σ_n ε | x] in units of the root of
    both variances: (0.5² + σ_n σ_{n+1}) / √(0.5² + σ_n²) √(0.5² + σ_{n+1}²).
    """
    generator = torch.Generator().manual_seed(1)
    shape = (1, 20_000, 1)
    actions, noise = torch.randn(2, *shape, generator=generator)
    uniform = torch.rand(shape, generator=generator)

    def multiple(factor: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        def network(_s: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
            total, above = (DATA**2 + sigma**2).sqrt(), sigma - LOW
            goal = factor * x * math.sqrt(DATA**2 + LOW**2) / total
            skipped = DATA**2 / (above**2 + DATA**2) * x
            return (goal - skipped) * total / (DATA * above.clamp(min=1e-6))

        return network

    def loss(factor: float) -> float:
        inputs = (actions, DATA * actions, noise, uniform, torch.tensor([float(count)]))
        return float(consistency_loss(multiple(factor), multiple(1.0), *inputs))

    low, middle, high = loss(0.0), loss(0.5), loss(1.0)
    best = 0.5 + (low - high) / (low - 2 * middle + high) / 4
    scale = math.sqrt((DATA**2 + LOW**2) * (DATA**2 + HIGH**2))
    expected = (DATA**2 + LOW * HIGH) / scale if count == 2 else 1.0
    assert best == pytest.approx(expected, abs=0.02)


def test_updates_are_counted_from_none() -> None:
    count = UpdateCount()
    params = count.init(torch.Generator())
    assert count({"count": torch.stack([params["count"]] * 3)}).tolist() == [0.0, 0.0, 0.0]
