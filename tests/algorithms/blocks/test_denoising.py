"""Single steps of the chain against Bayes' rule, closed-form divergences and plain modules."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from algorithms.blocks.denoising import step_deviation, step_divergence, step_mean
from algorithms.blocks.diffusion import Decision, Epsilon, add_noise, noise_level, walk_back
from algorithms.blocks.noise_networks import StepMLP
from algorithms.engine.engine import Engine
from algorithms.initialisation import ORTHOGONAL
from tests.algorithms.blocks.test_diffusion import betas, marginals
from tests.algorithms.reference import members, random_params

SEEDS, BATCH, OBS, ACT = 2, 6, 3, 2

Model = Callable[[Tensor, Tensor, Tensor], Tensor]


class StepModel(nn.Module):
    """The network as modules. params: one seed's `[E, ...]`."""

    def __init__(self, network: StepMLP, params: Mapping[str, Any]) -> None:
        super().__init__()
        own = {k.removeprefix("step_"): v for k, v in params.items() if k.startswith("step_")}
        self.bodies = nn.ModuleList(members(network.body, params))
        self.embeddings = nn.ModuleList(members(network.embedding, own))
        self.network = network

    def forward(self, observations: Tensor, x: Tensor, k: Tensor) -> Tensor:
        """x_k `[B, action_dim]`, k `[B]` from 1 on -> what the network gives one seed."""
        half = self.network.waves // 2
        angles = k[:, None] * torch.tensor([10_000 ** (-i / (half - 1)) for i in range(half)])
        outputs = []
        for body, embedding in zip(self.bodies, self.embeddings, strict=True):
            step = embedding(torch.cat([angles.sin(), angles.cos()], 1))
            if self.network.mish_last:
                step = nn.functional.mish(step)
            outputs.append(body(torch.cat([observations, x, step], 1)))
        found = torch.stack(outputs) if len(outputs) > 1 else outputs[0]
        return found[..., 0] if self.network.output_dim == 1 else found


def learned_step_model(engine: Engine, name: str, slot: int, group: str = "params") -> StepModel:
    prefix = f"{group}/{name}/"
    state = engine.state(slot).items()
    params = {key.removeprefix(prefix): v for key, v in state if key.startswith(prefix)}
    return StepModel(engine.algorithm.networks[name], params)


def mean_back(x: Tensor, predicted: Tensor, k: Tensor, steps: int) -> Tensor:
    """The mean of x_{k-1}, with the official codes' coefficients. x [B, action_dim], k [B]."""
    beta, bar = np.append(0.0, betas(steps)), np.append(1.0, np.cumprod(1 - betas(steps)))
    rows = []
    for i, x_i, noise in zip(k.tolist(), x, predicted, strict=True):
        start = (x_i - math.sqrt(1 - bar[i]) * noise) / math.sqrt(bar[i])
        mean = math.sqrt(bar[i - 1]) * beta[i] * start.clip(-1, 1)
        mean = mean + math.sqrt(1 - beta[i]) * (1 - bar[i - 1]) * x_i
        rows.append(mean / (1 - bar[i]))
    return torch.stack(rows)


def walk(
    model: Model, observations: Tensor, noise: Tensor, steps: int
) -> tuple[Tensor, list[tuple[Tensor, Tensor, Tensor]]]:
    """The official codes' sampler: actions, and x_k, k and the noise predicted there, K to 1."""
    x, *added = noise.chunk(steps, 1)
    visited = []
    for i in range(steps, 0, -1):
        k = torch.full((len(x),), i)
        predicted = model(observations, x, k)
        visited.append((x, k, predicted))
        x = mean_back(x, predicted, k, steps)
        if i > 1:
            x = x + math.sqrt(betas(steps)[i - 1]) * added[steps - i]
    return x, visited


def draw(
    epsilon: Epsilon, observations: Tensor, noise: Tensor, steps: int
) -> tuple[Tensor, list[Decision]]:
    """Actions, and the decisions that led to them."""
    return walk_back(epsilon, observations, noise, steps, variance="added")


def _draw(*shape: int, stream: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(stream))


def _each_step(steps: int) -> Tensor:
    """k = 1 … K. [1, K, 1]."""
    return torch.arange(1, steps + 1).float().view(1, steps, 1)


@pytest.mark.parametrize("steps", [1, 5, 20])
def test_noise_is_added_as_by_walking_the_chain(steps: int) -> None:
    actions, noise = _draw(1, steps, ACT), _draw(1, steps, ACT, stream=1)
    x, k = add_noise(actions, noise, (_each_step(steps) - 0.5) / steps, steps)
    means, variances = marginals(steps)
    assert torch.equal(k, _each_step(steps))
    for i in range(steps):
        expected = means[i + 1] * actions[0, i] + math.sqrt(variances[i + 1]) * noise[0, i]
        torch.testing.assert_close(x[0, i], expected, rtol=1e-5, atol=1e-6)
    level = noise_level(k, steps).flatten()
    np.testing.assert_allclose(level.square(), variances[1:], rtol=1e-4)


def test_a_step_back_is_the_chains_posterior_of_the_action() -> None:
    """x_{k-1} given x_k and the action that the predicted noise means, by Bayes' rule."""
    steps = 5
    actions = 0.9 * torch.tanh(_draw(1, steps, ACT))
    noise, k = _draw(1, steps, ACT, stream=1), _each_step(steps)
    x, _ = add_noise(actions, noise, (k - 0.5) / steps, steps)
    found = step_mean(noise, x, k, steps)[0]
    (means, variances), beta = marginals(steps), betas(steps)
    torch.testing.assert_close(found[0], actions[0, 0], rtol=1e-4, atol=1e-5)
    for i in range(1, steps):
        forward, backward = 1 / beta[i], 1 / variances[i]
        precision = (1 - beta[i]) * forward + backward
        weighted = math.sqrt(1 - beta[i]) * forward * x[0, i] + means[i] * backward * actions[0, i]
        torch.testing.assert_close(found[i], weighted / precision, rtol=1e-4, atol=1e-5)


def test_every_step_but_the_last_adds_noise_of_its_own_variance() -> None:
    deviation = step_deviation(_each_step(5), 5).flatten()
    assert deviation[0] == 0
    np.testing.assert_allclose(deviation[1:].square(), betas(5)[1:], rtol=1e-5)


def test_the_divergence_is_that_of_the_two_gaussians() -> None:
    """Of small predictions, which nothing clips."""
    steps = 5
    one, other, x = (0.02 * _draw(1, steps, ACT, stream=i) for i in range(3))
    k = _each_step(steps)
    found = step_divergence(one, other, k, steps)
    std = torch.tensor(betas(steps)).float().sqrt().view(1, steps, 1)
    means = [step_mean(predicted, x, k, steps) for predicted in (one, other)]
    expected = kl_divergence(*(Normal(mean, std) for mean in means)).sum(-1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-8)
    assert bool((found > 0).all())


def test_the_exact_noise_of_gaussian_actions_samples_them() -> None:
    """That noise is affine in x, hence actions are in the draws, and unit draws tell it all."""
    steps, mean, std = 250, torch.tensor([0.3, -0.2]), torch.tensor([0.2, 0.3])
    means, variances = marginals(steps)

    def exact(_observations: Tensor, x: Tensor, k: Tensor) -> Tensor:
        i = int(k[0, 0, 0])
        spread = means[i] ** 2 * std**2 + variances[i]
        return math.sqrt(variances[i]) * (x - means[i] * mean) / spread

    noise = torch.zeros(1, steps + 1, steps, ACT)
    noise[0, 1:] = torch.eye(steps).unsqueeze(-1)
    actions, _ = draw(exact, torch.zeros(1, steps + 1, OBS), noise.flatten(2), steps)
    torch.testing.assert_close(actions[0, 0], mean, rtol=0, atol=2e-3)
    found = (actions[0, 1:] - actions[0, 0]).square().sum(0).sqrt()
    torch.testing.assert_close(found, std, rtol=0, atol=4 / steps)


def test_a_walk_visits_what_the_official_sampler_visits() -> None:
    network = StepMLP(OBS, ACT, ACT, (8,))
    params = random_params({"actor": network}, SEEDS)["actor"]
    observations, noise = _draw(SEEDS, BATCH, OBS), 2 * _draw(SEEDS, BATCH, 4 * ACT, stream=1)
    actions, decisions = draw(lambda *i: network(params, *i), observations, noise, 4)
    assert float(actions.abs().max()) <= 1 + 1e-6
    for s in range(SEEDS):
        model = StepModel(network, {key: v[s] for key, v in params.items()})
        expected, visited = walk(model, observations[s], noise[s], 4)
        torch.testing.assert_close(actions[s], expected, rtol=1e-4, atol=1e-5)
        for decision, (x, k, predicted) in zip(decisions, visited, strict=True):
            torch.testing.assert_close(decision.x[s], x, rtol=1e-4, atol=1e-5)
            assert torch.equal(decision.step[s, :, 0], k.float())
            torch.testing.assert_close(decision.predicted[s], predicted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "network",
    [
        StepMLP(OBS, ACT, ACT, (8, 8)),
        StepMLP(OBS, ACT, 1, (8, 8), 12, (10, 6), 1, True, 3, True, ORTHOGONAL),
    ],
    ids=["policy", "values"],
)
def test_the_network_equals_modules(network: StepMLP) -> None:
    params = random_params({"net": network}, SEEDS)["net"]
    observations, x = _draw(SEEDS, BATCH, OBS), _draw(SEEDS, BATCH, ACT, stream=1)
    k = torch.arange(BATCH).float().expand(SEEDS, -1)
    found = network(params, observations, x, k.unsqueeze(-1))
    for s in range(SEEDS):
        model = StepModel(network, {key: v[s] for key, v in params.items()})
        expected = model(observations[s], x[s], k[s])
        torch.testing.assert_close(found[s], expected, rtol=1e-4, atol=1e-5)
