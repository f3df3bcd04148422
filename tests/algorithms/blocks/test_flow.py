"""Flow matching's loss: paths in closed form, loops by hand, and flows that are known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.blocks.flow import (
    PathName,
    complete,
    flow_matching_loss,
    path_point,
    sample,
    velocity_network,
)
from tests.algorithms.reference import members, random_params

SEEDS, BATCH, OBS, ACT = 2, 4, 3, 2
PATHS: tuple[PathName, ...] = ("linear", "cosine", "spline")

paths = pytest.mark.parametrize("path", PATHS)

# σ, α and their derivatives, as their papers write them.
Coefficients = Callable[[Tensor], tuple[Tensor, Tensor, Tensor, Tensor]]
COEFFICIENTS: dict[PathName, Coefficients] = {
    "linear": lambda t: (1 - t, t, -torch.ones_like(t), torch.ones_like(t)),
    "cosine": lambda t: (
        (math.pi / 2 * t).cos(),
        (math.pi / 2 * t).sin(),
        -math.pi / 2 * (math.pi / 2 * t).sin(),
        math.pi / 2 * (math.pi / 2 * t).cos(),
    ),
    "spline": lambda t: (
        1 - 3 * t**2 + 2 * t**3,
        3 * t**2 - 2 * t**3,
        -6 * t + 6 * t**2,
        6 * t - 6 * t**2,
    ),
}


def _draw(*shape: int, stream: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(stream))


def _times(*shape: int, stream: int = 3) -> Tensor:
    return torch.rand(*shape, 1, generator=torch.Generator().manual_seed(stream))


@paths
def test_a_path_leads_from_the_noise_to_the_action(path: PathName) -> None:
    x0, actions = _draw(SEEDS, BATCH, ACT), _draw(SEEDS, BATCH, ACT, stream=1)
    start, _ = path_point(path, x0, actions, torch.zeros(SEEDS, BATCH, 1))
    end, _ = path_point(path, x0, actions, torch.ones(SEEDS, BATCH, 1))
    torch.testing.assert_close(start, x0, rtol=0, atol=1e-6)
    torch.testing.assert_close(end, actions, rtol=0, atol=1e-6)


@paths
def test_a_paths_rate_is_its_derivative_in_time(path: PathName) -> None:
    x0, actions = (_draw(SEEDS, BATCH, ACT, stream=i).double() for i in (0, 1))
    time, step = _times(SEEDS, BATCH).double(), 1e-5
    later, earlier = (path_point(path, x0, actions, time + sign * step)[0] for sign in (1, -1))
    _, rate = path_point(path, x0, actions, time)
    torch.testing.assert_close(rate, (later - earlier) / (2 * step), rtol=1e-6, atol=1e-8)


@paths
def test_a_paths_points_have_the_published_coefficients(path: PathName) -> None:
    x0, actions, time = _draw(SEEDS, BATCH, ACT), _draw(SEEDS, BATCH, ACT, stream=1), _times(2, 4)
    sigma, alpha, sigma_rate, alpha_rate = COEFFICIENTS[path](time)
    x, rate = path_point(path, x0, actions, time)
    close = {"rtol": 1e-4, "atol": 1e-6}
    torch.testing.assert_close(x, sigma * x0 + alpha * actions, **close)
    torch.testing.assert_close(rate, sigma_rate * x0 + alpha_rate * actions, **close)


def test_the_cosine_path_keeps_the_variance_and_the_spline_rests_at_both_ends() -> None:
    ones, time = torch.ones(1, 9, 1), torch.linspace(0, 1, 9).view(1, 9, 1)
    sigma, _ = path_point("cosine", ones, 0 * ones, time)
    alpha, _ = path_point("cosine", 0 * ones, ones, time)
    torch.testing.assert_close(sigma.square() + alpha.square(), ones)
    _, rate = path_point("spline", -ones, ones, time)
    assert rate[0, 0] == rate[0, -1] == 0
    assert (rate[0, 1:-1] > 0).all()


def test_the_loss_of_two_samples_by_hand() -> None:
    """u = 0 at x_t: the loss is the mean square of a - x_0; and x_t is where it should be."""
    visited = []

    def still(_observations: Tensor, x: Tensor, _t: Tensor) -> Tensor:
        visited.append(x)
        return torch.zeros_like(x)

    x0 = torch.tensor([[[1.0, 0.0]], [[2.0, 2.0]]])
    actions = torch.tensor([[[0.0, 1.0]], [[2.0, -1.0]]])
    time = torch.tensor([[[0.25]], [[0.5]]])
    loss = flow_matching_loss(still, torch.zeros(2, 1, OBS), actions, x0, time)
    assert loss.tolist() == [1.0, 4.5]  # (1 + 1) / 2 and (0 + 9) / 2
    assert visited[0].tolist() == [[[0.75, 0.25]], [[2.0, 0.5]]]


@paths
def test_the_loss_equals_numpy_on_a_network(path: PathName) -> None:
    network = velocity_network(OBS, ACT, (8,))
    params = random_params({"flow": network}, SEEDS)["flow"]
    observations, actions = _draw(SEEDS, BATCH, OBS), _draw(SEEDS, BATCH, ACT, stream=1)
    x0, time = _draw(SEEDS, BATCH, ACT, stream=2), _times(SEEDS, BATCH)
    loss = flow_matching_loss(lambda *i: network(params, *i), observations, actions, x0, time, path)
    for s in range(SEEDS):
        (velocity,) = members(network, {k: v[s] for k, v in params.items()})
        errors = []
        for b in range(BATCH):
            sigma, alpha, sigma_rate, alpha_rate = COEFFICIENTS[path](time[s, b])
            x = sigma * x0[s, b] + alpha * actions[s, b]
            u = velocity(torch.cat([observations[s, b], x, time[s, b]])).detach()
            rate = sigma_rate * x0[s, b] + alpha_rate * actions[s, b]
            errors.append((u - rate).numpy() ** 2)
        assert float(loss[s]) == pytest.approx(np.mean(errors), rel=1e-4)


@paths
def test_the_marginal_velocity_of_gaussian_actions_minimises_the_loss_and_samples_them(
    path: PathName,
) -> None:
    """For a ~ N(m, c²), E[ẋ | x_t = x] is linear in x and known; nudged, it fits worse."""
    m, c, n = 0.7, 0.3, 20_000
    x0 = _draw(1, n, 1)
    actions = m + c * _draw(1, n, 1, stream=1)
    time = _times(1, n, stream=2)

    def marginal(_observations: Tensor, x: Tensor, t: Tensor, nudge: float = 0.0) -> Tensor:
        sigma, alpha, sigma_rate, alpha_rate = COEFFICIENTS[path](t)
        surprise = (x - alpha * m) / (sigma**2 + (alpha * c) ** 2)
        noise, action = sigma * surprise, m + alpha * c**2 * surprise  # their means, given x
        return sigma_rate * noise + alpha_rate * action + nudge

    def loss(nudge: float) -> float:
        velocity = lambda *inputs: marginal(*inputs, nudge)  # noqa: E731
        return float(flow_matching_loss(velocity, x0, actions, x0, time, path))

    assert loss(0.0) < min(loss(-0.1), loss(0.1))
    samples = sample(marginal, x0, x0, 100)
    assert float(samples.mean()) == pytest.approx(m, abs=0.015)
    assert float(samples.std()) == pytest.approx(c, abs=0.015)


def test_a_flow_is_completed_from_the_time_of_each_point_in_steps_that_end_at_one() -> None:
    """dx/dt = 8 t in quarters: from 0, (0 + 2 + 4 + 6) / 4; from 0.65, 5.2 / 4 + 0.1 · 7.2."""
    time = torch.tensor([[[0.0], [0.65], [1.0]]])
    x = torch.tensor([[[1.0], [1.0], [1.0]]])
    ends = complete(lambda _s, x, t: 8 * t + 0 * x, torch.zeros(1, 3, 2), x, time, 4)
    assert ends.flatten().tolist() == pytest.approx([1 + 3.0, 1 + 5.2 / 4 + 0.1 * 7.2, 1.0])
