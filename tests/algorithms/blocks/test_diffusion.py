"""The diffusion policy's parts against its Markov chain and Gaussian closed forms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from algorithms.blocks.diffusion import diffusion_loss, sample
from algorithms.blocks.noise_networks import StepMLP, noise_network
from algorithms.engine.engine import Engine
from tests.algorithms.reference import members, params_of, random_params

SEEDS, BATCH, OBS, ACT = 2, 64, 3, 2


def betas(steps: int) -> NDArray[np.float64]:
    """The variance that each step adds (arXiv:2208.06193, Section 3)."""
    k = np.arange(1, steps + 1)
    return 1 - np.exp(-0.1 / steps - 0.5 * (10 - 0.1) * (2 * k - 1) / steps**2)


def marginals(steps: int) -> tuple[list[float], list[float]]:
    """Mean factor and variance of x_k given x_0, k = 0 … K, by adding noise step by step."""
    means, variances = [1.0], [0.0]
    for beta in betas(steps).tolist():
        means.append(math.sqrt(1 - beta) * means[-1])
        variances.append((1 - beta) * variances[-1] + beta)
    return means, variances


def embedding(step: float) -> Tensor:
    angles = [step * 10_000 ** (-i / 7) for i in range(8)]
    return torch.tensor([*map(math.sin, angles), *map(math.cos, angles)])


class NoiseModel(nn.Module):
    """The network of a diffusion policy as modules. params: one seed's `[1, ...]`."""

    def __init__(self, network: StepMLP, params: Mapping[str, Any]) -> None:
        super().__init__()
        own = {k.removeprefix("step_"): v for k, v in params.items() if k.startswith("step_")}
        (self.body,), (self.step,) = members(network.body, params), members(network.embedding, own)

    def forward(self, observations: Tensor, x: Tensor, k: Tensor) -> Tensor:
        """x_k `[B, action_dim]`, k `[B]` from 1 on."""
        step = self.step(torch.stack([embedding(float(i) - 1) for i in k]))
        return self.body(torch.cat([observations, x, step], 1))


def learned_noise_model(engine: Engine, slot: int, group: str = "params") -> NoiseModel:
    params = params_of(engine, "actor", slot, group)
    return NoiseModel(engine.algorithm.networks["actor"], params)


def _draw(*shape: int, stream: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(stream))


@pytest.mark.parametrize("steps", [1, 2, 5, 20])
def test_training_inputs_have_the_chains_marginals(steps: int) -> None:
    """Every step is visited, and x_k is where k noisy steps from the action would put it."""
    seen: list[tuple[Tensor, Tensor]] = []

    def watch(_observations: Tensor, x: Tensor, k: Tensor) -> Tensor:
        seen.append((x, k))
        return torch.zeros_like(x)

    actions, noise = _draw(1, steps, ACT), _draw(1, steps, ACT, stream=1)
    uniform = ((torch.arange(steps) + 0.5) / steps).view(1, steps, 1)
    diffusion_loss(watch, torch.zeros(1, steps, OBS), actions, noise, uniform, steps)
    (x, k), (means, variances) = seen[0], marginals(steps)
    assert k.flatten().tolist() == list(range(1, steps + 1))
    for i in range(steps):
        expected = means[i + 1] * actions[0, i] + math.sqrt(variances[i + 1]) * noise[0, i]
        torch.testing.assert_close(x[0, i], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("steps", [3, 5, 7, 100])
def test_the_extremes_of_the_uniform_draw_pick_the_first_and_the_last_step(steps: int) -> None:
    seen = []
    uniform = torch.tensor([0.0, 1 - 2**-24]).view(1, 2, 1)  # what torch.rand can return
    x = torch.zeros(1, 2, ACT)
    diffusion_loss(lambda _s, x, k: (seen.append(k), x)[1], x, x, x, uniform, steps)
    assert seen[0].flatten().tolist() == [1, steps]


def test_the_loss_equals_a_loop_over_transitions() -> None:
    network = noise_network(OBS, ACT, (8,))
    params = random_params({"actor": network}, SEEDS)["actor"]
    observations, actions = _draw(SEEDS, BATCH, OBS), _draw(SEEDS, BATCH, ACT, stream=1)
    noise = _draw(SEEDS, BATCH, ACT, stream=2)
    uniform = torch.rand(SEEDS, BATCH, 1, generator=torch.Generator().manual_seed(3))
    loss = diffusion_loss(lambda *i: network(params, *i), observations, actions, noise, uniform, 5)
    means, variances = marginals(5)
    for s in range(SEEDS):
        epsilon = NoiseModel(network, {key: v[s] for key, v in params.items()})
        errors = []
        for b in range(BATCH):
            k = 1 + int(5 * uniform[s, b])
            x = means[k] * actions[s, b] + math.sqrt(variances[k]) * noise[s, b]
            predicted = epsilon(observations[s, b : b + 1], x[None], torch.tensor([k]))
            errors.append((predicted[0] - noise[s, b]).square().mean().item())
        assert float(loss[s]) == pytest.approx(np.mean(errors), rel=1e-4)


MEAN, STD = torch.tensor([0.3, -0.2]), torch.tensor([0.2, 0.3])


def _gaussian_samples(steps: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of what the sampler makes of the exact ε for N(MEAN, STD²).

    That ε is affine in x, hence the sample is affine in the noise and unit noises tell it all.
    """
    means, variances = marginals(steps)

    def exact(_observations: Tensor, x: Tensor, k: Tensor) -> Tensor:
        step = int(k[0, 0, 0])
        spread = means[step] ** 2 * STD**2 + variances[step]
        return math.sqrt(variances[step]) * (x - means[step] * MEAN) / spread

    noise = torch.zeros(1, steps + 1, steps, ACT)
    noise[0, 1:] = torch.eye(steps).unsqueeze(-1)
    outputs = sample(exact, torch.zeros(1, steps + 1, OBS), noise.flatten(2), steps)[0]
    return outputs[0], (outputs[1:] - outputs[0]).square().sum(0).sqrt()


@pytest.mark.parametrize("steps", [250, 1000])
def test_the_exact_noise_of_gaussian_actions_samples_them(steps: int) -> None:
    """The better, the more steps: the deviation's error falls as 1 / K."""
    mean, std = _gaussian_samples(steps)
    torch.testing.assert_close(mean, MEAN, rtol=0, atol=1e-3)
    torch.testing.assert_close(std, STD, rtol=0, atol=4 / steps)


@pytest.mark.parametrize("steps", [1, 2, 5, 10])
def test_few_steps_sample_the_posteriors_of_the_chain(steps: int) -> None:
    """x_{k-1} given x_k and the expected action, by Bayes' rule for two Gaussians."""
    (means, variances), beta = marginals(steps), betas(steps)
    mean, variance = np.zeros(ACT), np.ones(ACT)
    m, c = MEAN.double().numpy(), STD.double().numpy()
    for k in range(steps, 0, -1):
        gain = means[k] * c**2 / (means[k] ** 2 * c**2 + variances[k])  # of E[action | x_k]
        offset = m - gain * means[k] * m
        if k == 1:
            factor, shift, added = gain, offset, 0.0
        else:
            forward, backward = 1 / beta[k - 1], 1 / variances[k - 1]
            precision = (1 - beta[k - 1]) * forward + backward
            factor = math.sqrt(1 - beta[k - 1]) * forward + means[k - 1] * backward * gain
            factor, shift = factor / precision, means[k - 1] * backward * offset / precision
            added = 1 / precision
        mean, variance = factor * mean + shift, factor**2 * variance + added
    ours = _gaussian_samples(steps)
    np.testing.assert_allclose(ours[0], mean, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(ours[1], np.sqrt(variance), rtol=1e-3)


def test_no_prediction_however_wild_leaves_the_box() -> None:
    actions = sample(lambda _s, x, _k: 100 * x.sin(), torch.zeros(1, 50, OBS), _draw(1, 50, 10), 5)
    assert actions.shape == (1, 50, ACT)
    assert float(actions.abs().max()) == pytest.approx(1.0)


def test_a_gradient_runs_back_through_every_step() -> None:
    """Without clipping, x_{k-1} = (x_k − β_k ε_k / √(1 − ᾱ_k)) / √α_k (arXiv:2006.11239)."""
    epsilons = torch.zeros(5, requires_grad=True)
    actions = sample(
        lambda _s, x, k: epsilons[int(k[0, 0, 0]) - 1].expand_as(x),
        torch.zeros(1, 1, OBS),
        torch.zeros(1, 1, 5 * ACT),
        5,
    )
    actions[0, 0, 0].backward()
    beta, (_, variances) = betas(5), marginals(5)
    expected = -beta / np.sqrt(variances[1:]) / np.sqrt(np.cumprod(1 - beta))
    assert epsilons.grad is not None
    np.testing.assert_allclose(epsilons.grad, expected, rtol=1e-4)
