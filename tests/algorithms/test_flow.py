"""Flow matching and Euler's method against exact velocity fields and loops by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.flow import euler_path, euler_sample, flow_matching_loss, velocity_network
from tests.algorithms.reference import members, random_params

SEEDS, BATCH, OBS, ACT = 2, 4, 3, 2


def _draw(*shape: int, stream: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(stream))


@pytest.mark.parametrize("flow_steps", [1, 2, 3, 7, 10])
def test_the_exact_velocity_transports_along_the_line_for_any_number_of_steps(
    flow_steps: int,
) -> None:
    observations, x0 = _draw(SEEDS, BATCH, ACT), _draw(SEEDS, BATCH, ACT, stream=1)

    def toward_action(obs: Tensor, x: Tensor, t: Tensor) -> Tensor:
        return (torch.tanh(obs) - x) / (1 - t)

    path = euler_path(toward_action, observations, x0, flow_steps)
    assert path.shape == (flow_steps + 1, SEEDS, BATCH, ACT)
    for k in range(flow_steps + 1):
        t = k / flow_steps
        line = (1 - t) * x0 + t * torch.tanh(observations)
        torch.testing.assert_close(path[k], line, rtol=1e-5, atol=1e-6)
    end = euler_sample(toward_action, observations, x0, flow_steps)
    torch.testing.assert_close(end, torch.tanh(observations), rtol=1e-5, atol=1e-6)


def test_the_path_equals_a_loop_over_states_and_steps() -> None:
    network = velocity_network(OBS, ACT, (8,))
    params = random_params({"flow": network}, SEEDS)["flow"]
    observations, x0 = _draw(SEEDS, BATCH, OBS), _draw(SEEDS, BATCH, ACT, stream=1)
    path = euler_path(lambda *inputs: network(params, *inputs), observations, x0, 5)
    for s in range(SEEDS):
        (velocity,) = members(network, {k: v[s] for k, v in params.items()})
        for b in range(BATCH):
            x = x0[s, b]
            for k in range(5):
                torch.testing.assert_close(path[k, s, b], x, rtol=1e-4, atol=1e-6)
                x = x + velocity(torch.cat([observations[s, b], x, torch.tensor([k / 5])])) / 5
            torch.testing.assert_close(path[5, s, b], x, rtol=1e-4, atol=1e-6)


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


def test_the_loss_equals_numpy_on_a_network() -> None:
    network = velocity_network(OBS, ACT, (8,))
    params = random_params({"flow": network}, SEEDS)["flow"]
    observations, actions = _draw(SEEDS, BATCH, OBS), _draw(SEEDS, BATCH, ACT, stream=1)
    x0 = _draw(SEEDS, BATCH, ACT, stream=2)
    time = torch.rand(SEEDS, BATCH, 1, generator=torch.Generator().manual_seed(3))
    loss = flow_matching_loss(lambda *i: network(params, *i), observations, actions, x0, time)
    for s in range(SEEDS):
        (velocity,) = members(network, {k: v[s] for k, v in params.items()})
        errors = []
        for b in range(BATCH):
            x = (1 - time[s, b]) * x0[s, b] + time[s, b] * actions[s, b]
            u = velocity(torch.cat([observations[s, b], x, time[s, b]])).detach().numpy()
            errors.append((u - (actions[s, b] - x0[s, b]).numpy()) ** 2)
        assert float(loss[s]) == pytest.approx(np.mean(errors), rel=1e-4)


def test_the_marginal_velocity_of_gaussian_actions_minimises_the_loss_and_samples_them() -> None:
    """For a ~ N(m, c²), E[a - x_0 | x_t = x] is linear in x and known; nudged, it fits worse."""
    m, c, n = 0.7, 0.3, 20_000
    x0 = _draw(1, n, 1)
    actions = m + c * _draw(1, n, 1, stream=1)
    time = torch.rand(1, n, 1, generator=torch.Generator().manual_seed(2))

    def marginal(_observations: Tensor, x: Tensor, t: Tensor, nudge: float = 0.0) -> Tensor:
        variance = (1 - t) ** 2 + (t * c) ** 2
        return m + (t * c**2 - (1 - t)) / variance * (x - t * m) + nudge

    def loss(nudge: float) -> float:
        velocity = lambda *inputs: marginal(*inputs, nudge)  # noqa: E731
        return float(flow_matching_loss(velocity, x0, actions, x0, time))

    assert loss(0.0) < min(loss(-0.1), loss(0.1))
    samples = euler_sample(marginal, x0, x0, 100)
    assert float(samples.mean()) == pytest.approx(m, abs=0.01)
    assert float(samples.std()) == pytest.approx(c, abs=0.01)
