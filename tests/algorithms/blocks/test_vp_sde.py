"""The continuous-time diffusion against its integrals, Gaussian closed forms, and DPM-Solver's."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.blocks.vp_sde import (
    denoising_loss,
    log_alpha,
    noise_level,
    perturb,
    predicted_action,
    sample,
)

ACT = 2


def marginal(time: float) -> tuple[float, float]:
    """α and σ of dx = −β x / 2 dt + √β dw, β from 0.1 to 20, by summing the rates."""
    grid = np.linspace(0, time, 20_001)
    rates = 0.1 + grid * (20 - 0.1)
    integral = float(((rates[1:] + rates[:-1]) / 2 * np.diff(grid)).sum())
    return math.exp(-integral / 2), math.sqrt(1 - math.exp(-integral))


def solved(predict: Callable[[Tensor, float], Tensor], x: Tensor, evaluations: int) -> Tensor:
    """DPM-Solver++ (2S), step by step, in the exponentials of arXiv:2211.01095.

    predict: the action from x and t.
    """
    times = np.linspace(1, 1e-3, evaluations + 1).tolist()
    alphas, sigmas = zip(*map(marginal, times), strict=True)
    snr = [math.log(alpha / sigma) for alpha, sigma in zip(alphas, sigmas, strict=True)]
    orders = [2] * ((evaluations - 1) // 2)
    orders += [1] * (evaluations - 2 * len(orders))
    i = 0
    for order in orders:
        j = i + order
        first = predict(x, times[i])
        change = -math.expm1(-(snr[j] - snr[i]))
        following = sigmas[j] / sigmas[i] * x + alphas[j] * change * first
        if order == 2:
            part = (snr[i + 1] - snr[i]) / (snr[j] - snr[i])
            half = -math.expm1(-part * (snr[j] - snr[i]))
            between = sigmas[i + 1] / sigmas[i] * x + alphas[i + 1] * half * first
            second = predict(between, times[i + 1])
            following = following + alphas[j] * change * (second - first) / (2 * part)
        x, i = following, j
    return x


@pytest.mark.parametrize("time", [1e-3, 0.1, 0.5, 1.0])
def test_signal_and_noise_are_the_sdes(time: float) -> None:
    alpha, sigma = marginal(time)
    assert math.exp(log_alpha(time)) == pytest.approx(alpha, rel=1e-6)
    assert float(noise_level(torch.tensor(time))) == pytest.approx(sigma, rel=1e-5)


def test_the_uniform_draw_spans_the_times_that_are_trained() -> None:
    actions, noise = torch.tensor([[[0.5, -0.2]] * 3]), torch.tensor([[[-1.0, 2.0]] * 3])
    x, time = perturb(actions, noise, torch.tensor([[[0.0], [0.5], [1.0]]]))
    assert time.flatten().tolist() == pytest.approx([0.001, 0.5005, 1.0])
    for i, moment in enumerate(time.flatten().tolist()):
        alpha, sigma = marginal(moment)
        torch.testing.assert_close(x[0, i], alpha * actions[0, i] + sigma * noise[0, i])


def test_the_loss_sums_over_the_action_and_averages_over_the_batch() -> None:
    """Of ε = 0 the errors are the noise's squares: 1 + 4 and 0 + 9."""
    noise = torch.tensor([[[1.0, -2.0], [0.0, 3.0]]])
    loss = denoising_loss(
        lambda _s, x, _t: torch.zeros_like(x), noise, noise, noise, torch.rand(1, 2, 1)
    )
    assert loss.tolist() == [7.0]


@pytest.mark.parametrize("evaluations", [1, 2, 3, 4, 15])
def test_sampling_takes_dpm_solvers_steps(evaluations: int) -> None:
    """A curved ε, at times a uniform distance apart and each asked for once."""
    asked = []

    def epsilon(_s: Tensor, x: Tensor, time: Tensor) -> Tensor:
        asked.append(float(time[0, 0, 0]))
        return torch.tanh(x) + time * torch.sin(3 * x) / 2

    def action(x: Tensor, time: float) -> Tensor:
        alpha, sigma = marginal(time)
        return (x - sigma * (torch.tanh(x) + time * torch.sin(3 * x) / 2)) / alpha

    noise = torch.randn(1, 5, ACT, generator=torch.Generator().manual_seed(0))
    actions = sample(epsilon, torch.zeros(1, 5, 3), noise, evaluations)
    assert asked == pytest.approx(torch.linspace(1, 1e-3, evaluations + 1)[:-1].tolist())
    expected = solved(action, noise.double(), evaluations)
    torch.testing.assert_close(actions.double(), expected, rtol=2e-3, atol=2e-3)


def test_bounded_predictions_end_within_the_box() -> None:
    """Of ε = −1000 x each predicted action is beyond the box, at the end on the side of x."""
    noise = torch.randn(1, 50, ACT, generator=torch.Generator().manual_seed(0))

    def epsilon(_s: Tensor, x: Tensor, _t: Tensor) -> Tensor:
        return -1000 * x

    actions = sample(epsilon, noise, noise, 5, bounded=True)
    torch.testing.assert_close(actions, noise.sign(), rtol=0, atol=0.05)
    assert float(sample(epsilon, noise, noise, 5).abs().max()) > 1000


def test_the_true_noise_predicts_the_action() -> None:
    generator = torch.Generator().manual_seed(0)
    actions, noise = torch.randn(2, 1, 20, ACT, generator=generator)
    x, time = perturb(actions, noise, torch.rand(1, 20, 1, generator=generator))
    torch.testing.assert_close(predicted_action(x, noise, time), actions, rtol=1e-3, atol=1e-3)


def _error(evaluations: int) -> float:
    """Of samples of N(0.3, 0.2²) by its exact ε: the ODE keeps each one's quantile."""
    noise = torch.linspace(-2, 2, 9).double().view(1, -1, 1)

    def epsilon(_s: Tensor, x: Tensor, time: Tensor) -> Tensor:
        alpha, sigma = log_alpha(time).exp(), noise_level(time)
        return sigma * (x - alpha * 0.3) / (alpha.square() * 0.04 + sigma.square())

    actions = sample(epsilon, noise, noise, evaluations)
    return float((actions - (0.3 + 0.2 * noise)).abs().max())


def test_the_exact_noise_of_a_gaussian_samples_it_the_better_the_more_steps() -> None:
    assert _error(61) < 0.03
    assert _error(481) < 1e-3
