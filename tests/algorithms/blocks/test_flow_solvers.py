"""The flow's ODE: exact on straight lines, of the known order elsewhere, equal to loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from algorithms.blocks.flow import Solver, roll_out, sample, velocity_network
from tests.algorithms.reference import members, random_params

SEEDS, BATCH, OBS, ACT = 2, 4, 3, 2

solvers = pytest.mark.parametrize("solver", ["euler", "midpoint"])


def _draw(*shape: int, stream: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(stream))


@solvers
@pytest.mark.parametrize("flow_steps", [1, 2, 3, 7, 10])
def test_the_exact_velocity_transports_along_the_line_for_any_number_of_steps(
    flow_steps: int, solver: Solver
) -> None:
    observations, x0 = _draw(SEEDS, BATCH, ACT), _draw(SEEDS, BATCH, ACT, stream=1)

    def toward_action(obs: Tensor, x: Tensor, t: Tensor) -> Tensor:
        return (torch.tanh(obs) - x) / (1 - t)

    points = roll_out(toward_action, observations, x0, flow_steps, solver).points
    assert points.shape == (flow_steps + 1, SEEDS, BATCH, ACT)
    for k in range(flow_steps + 1):
        t = k / flow_steps
        line = (1 - t) * x0 + t * torch.tanh(observations)
        torch.testing.assert_close(points[k], line, rtol=1e-5, atol=1e-6)
    if solver == "euler":
        assert torch.equal(sample(toward_action, observations, x0, flow_steps), points[-1])


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("midpoint", 2)])
def test_halving_the_step_divides_the_error_by_two_to_the_order(solver: Solver, order: int) -> None:
    """dx/dt = 2 t x², whose solution is x_0 / (1 − x_0 t²)."""
    x0 = torch.tensor([[[-1.0], [0.2], [0.5]]], dtype=torch.float64)

    def error(flow_steps: int) -> float:
        rolled = roll_out(lambda _s, x, t: 2 * t * x**2, x0, x0, flow_steps, solver)
        end = rolled.points[-1]
        return float((end - x0 / (1 - x0)).abs().max())

    for flow_steps in (20, 40):
        ratio = error(flow_steps) / error(2 * flow_steps)
        assert ratio == pytest.approx(2**order, rel=0.1)


@solvers
def test_a_roll_out_equals_a_loop_over_states_and_steps(solver: Solver) -> None:
    network = velocity_network(OBS, ACT, (8,))
    params = random_params({"flow": network}, SEEDS)["flow"]
    observations, x0 = _draw(SEEDS, BATCH, OBS), _draw(SEEDS, BATCH, ACT, stream=1)
    rolled = roll_out(lambda *inputs: network(params, *inputs), observations, x0, 5, solver)
    close = {"rtol": 1e-4, "atol": 1e-6}
    for s in range(SEEDS):
        (velocity,) = members(network, {k: v[s] for k, v in params.items()})
        for b in range(BATCH):
            x = x0[s, b]
            for k in range(5):
                torch.testing.assert_close(rolled.points[k, s, b], x, **close)
                query, t = x, torch.tensor([k / 5])
                if solver == "midpoint":
                    query = x + velocity(torch.cat([observations[s, b], x, t])) / 10
                    t = t + 0.1
                torch.testing.assert_close(rolled.queries[k, s, b], query, **close)
                torch.testing.assert_close(rolled.query_times[k, s, b], t)
                x = x + velocity(torch.cat([observations[s, b], query, t])) / 5
            torch.testing.assert_close(rolled.points[5, s, b], x, **close)


@solvers
def test_every_step_goes_by_the_velocity_at_its_query(solver: Solver) -> None:
    """What lets a policy's velocity enter a known step, whatever the solver."""
    network = velocity_network(OBS, ACT, (8,))
    params = random_params({"flow": network}, SEEDS)["flow"]
    observations, x0 = _draw(SEEDS, BATCH, OBS), _draw(SEEDS, BATCH, ACT, stream=1)
    rolled = roll_out(lambda *inputs: network(params, *inputs), observations, x0, 4, solver)
    for k in range(4):
        velocity = network(params, observations, rolled.queries[k], rolled.query_times[k])
        torch.testing.assert_close(rolled.points[k] + velocity / 4, rolled.points[k + 1])


@pytest.mark.parametrize(("solver", "calls"), [("euler", 6), ("midpoint", 12)])
def test_a_step_costs_one_velocity_or_two(solver: Solver, calls: int) -> None:
    times = []

    def velocity(_s: Tensor, x: Tensor, t: Tensor) -> Tensor:
        times.append(float(t.flatten()[0]))
        return x

    roll_out(velocity, torch.zeros(1, 1, 1), torch.ones(1, 1, 1), 6, solver)
    assert len(times) == calls
    assert times == pytest.approx([i / calls for i in range(calls)], abs=1e-6)
