"""Decision Flow's policy loss in closed form: one decision, quadratic values, the price of ρ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from algorithms.base import Algorithm, Networks
from tests.algorithms.flow_reference import bind, on_a_quadratic, start_noise
from tests.algorithms.reference import closed_form, make_algorithm, random_batch, random_params

SEEDS, BATCH = 2, 4

variants = pytest.mark.parametrize("variant", ["df-dir", "df-div"])


@pytest.mark.parametrize(
    ("algorithm_id", "sizes"),
    [
        ("df-div", [[1.0, 1.0], [1.0, 0.0]]),
        ("df-dir", [[1.0, 1.0], [1.0, 0.0]]),
        ("df-dir-unit", [[0.5**0.5, 0.5**0.5], [0.5**0.5, 0.0]]),
    ],
)
def test_one_decision_gains_what_the_values_slope_promises_less_the_penalty(
    algorithm_id: str, sizes: list[list[float]]
) -> None:
    """T = 1, nothing learned in between: ⟨u, w⟩ with w along ∇A, and ρ |u - u_v|².

    ∇A is (1, 1)/κ, and zero where both actions are clipped: `sizes` are those of w, without the κ.
    """
    x0 = torch.tensor([[[0.2, -0.1], [0.5, 0.4]], [[0.0, 0.0], [2.0, -2.0]]])
    u, u_v = torch.tensor([0.3, 0.1]), torch.tensor([0.1, -0.1])
    nets = closed_form(
        {
            "policy": lambda _s, x, _t: u.expand_as(x),
            "critic": lambda _s, a: torch.stack([a.sum(-1), a.sum(-1) + 1], 1),
            "value": lambda s: s[..., 0],
            "flow_critic": lambda _s, x, _t: torch.zeros(x.shape[:2]),
        },
        target={"behavior": lambda _s, x, _t: u_v.expand_as(x)},
    )
    batch = random_batch(2, 2)
    algorithm = make_algorithm(algorithm_id, flow_steps=1, rho=0.5)
    loss, metrics = algorithm.improvement_loss(nets, batch, {**start_noise(2, 2), "x0": x0})

    scale = (batch.actions.sum(-1) - batch.observations[..., 0]).abs().mean(-1)
    sums = torch.tensor([[0.5 + 0.0, 0.8 + 0.5], [0.3 + 0.1, 1.0 - 1.0]])  # the last is clipped
    advantages = (sums - batch.observations[..., 0]) / scale[:, None]
    in_units_of_value = algorithm_id != "df-dir-unit"
    gain = torch.tensor(sizes) * (0.3 + 0.1) / (scale[:, None] if in_units_of_value else 1)
    expected = (-gain + 0.5 * (0.2**2 + 0.2**2)).mean(-1)
    torch.testing.assert_close(loss - metrics["flow_critic/loss"], expected)
    torch.testing.assert_close(metrics["policy/final_advantage"], advantages.mean(-1))
    torch.testing.assert_close(metrics["policy/divergence"], torch.full((2,), 0.08))


@pytest.mark.parametrize("algorithm_id", ["df-dir", "df-div", "df-dir-unit"])
def test_one_decision_on_a_quadratic_is_best_where_calculus_says(algorithm_id: str) -> None:
    """T = 1, Q = -|a - g|²: stationary at u = ((g - x_0)/κ + ρ u_v) / (1/κ + ρ), and for unit
    steps 1/2ρ from u_v, straight towards g."""
    goal, u_v, rho = torch.tensor([0.4, -0.3]), torch.tensor([0.1, 0.1]), 7.0
    noise = _gentle_noise(BATCH)
    x0, batch = noise["x0"], random_batch(SEEDS, BATCH)
    scale = (batch.actions - goal).square().sum(-1).mean(-1).view(-1, 1, 1)  # κ with V = 0
    best = ((goal - x0) / scale + rho * u_v) / (1 / scale + rho)
    if algorithm_id == "df-dir-unit":
        rest = goal - x0 - u_v
        assert rest.norm(dim=-1).min() > 1 / (2 * rho)
        best = u_v + rest / rest.norm(dim=-1, keepdim=True) / (2 * rho)
    u = best.clone().requires_grad_()
    fixed = {"policy": lambda *_: best}
    nets = on_a_quadratic({"policy": lambda *_: u}, goal, lambda *_: u_v, frozen=fixed)
    algorithm = make_algorithm(algorithm_id, flow_steps=1, rho=rho)
    loss, _ = algorithm.improvement_loss(nets, batch, noise)
    loss.sum().backward()
    torch.testing.assert_close(u.grad, torch.zeros_like(u), rtol=0, atol=1e-6)


def test_with_one_flow_step_the_flow_is_a_one_step_policy() -> None:
    """T = 1: a = x_0 + u, improved by the gradient of −A(s, a) + ρ |u − u_v|² alone."""
    goal, rho = torch.tensor([0.4, -0.3]), 0.7
    noise, batch = _gentle_noise(BATCH), random_batch(SEEDS, BATCH)
    algorithm = make_algorithm("df-div", flow_steps=1, rho=rho)
    params = random_params(algorithm.networks, SEEDS)["policy"]
    gradients = []
    for through_the_flow in (True, False):
        live = {k: v.clone().requires_grad_() for k, v in params.items()}
        policy = bind(algorithm, "policy", live)
        nets = on_a_quadratic(
            {"policy": policy}, goal, lambda _s, x, _t: x, frozen={"policy": _without(policy)}
        )
        if through_the_flow:
            loss, _ = algorithm.improvement_loss(nets, batch, noise)
        else:
            x0 = noise["x0"]
            u = policy(batch.observations, x0, torch.zeros(SEEDS, BATCH, 1))
            scale = (batch.actions - goal).square().sum(-1).mean(-1, keepdim=True)
            advantage = -(x0 + u - goal).square().sum(-1) / scale
            assert (x0 + u).abs().max() < 1  # no action is clipped
            loss = (-advantage + rho * (u - x0).square().sum(-1)).mean(-1)
            actions = algorithm.act(nets, batch.observations, noise)
            torch.testing.assert_close(actions, x0 + u)
        gradients.append(torch.autograd.grad(loss.sum(), list(live.values())))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@variants
def test_the_scale_of_the_value_function_does_not_matter(variant: str) -> None:
    """κ divides it out: ten times the rewards ask for the same policy."""
    batch, noise = random_batch(SEEDS, BATCH), start_noise(SEEDS, BATCH)
    losses = []
    for factor in (1.0, 10.0):
        nets = on_a_quadratic(
            {"policy": lambda _s, x, _t: x / 2}, torch.zeros(2), lambda *_: torch.zeros(2), factor
        )
        loss, _ = make_algorithm(variant, flow_steps=2).improvement_loss(nets, batch, noise)
        losses.append(loss)
    torch.testing.assert_close(*losses)


@variants
@pytest.mark.parametrize("rho", [0.0, 1000.0])
def test_rho_chooses_between_the_value_and_the_behaviour(variant: str, rho: float) -> None:
    """Q = -|a - g|², from a random behaviour flow: climbed at ρ = 0, not followed at a large ρ."""
    goal = torch.tensor([0.5, -0.5])
    algorithm = make_algorithm(variant, flow_steps=3, rho=rho, hidden_dims=(16,))
    observations, noise = random_batch(SEEDS, 32).observations, start_noise(SEEDS, 32, 77)

    def distance(nets: Networks) -> float:
        actions = algorithm.act(nets, observations, noise)
        return float((actions.clamp(-1, 1) - goal).square().sum(-1).mean())

    nets, *_, (trained, metrics) = _train(algorithm, goal, still=False)
    before = distance(nets[0])
    if rho == 0:
        # DF-dir's steps do not shrink near the goal, so it ends around it rather than at it.
        assert distance(trained) < {"df-div": 0.05, "df-dir": 0.3}[variant] * before
        assert metrics["policy/divergence"].min() > 0.1
    else:
        assert distance(trained) > 0.9 * before
        assert metrics["policy/divergence"].max() < 1e-3


@pytest.mark.parametrize(
    ("algorithm_id", "setting"),
    [
        ("df-dir", {}),
        ("df-dir-unit", {}),
        ("df-div", {}),
        ("df-div-midpoint", {}),
        ("df-div-td", {"td_lambda": 0.0}),
    ],
    ids=str,
)
def test_on_a_quadratic_the_policy_moves_along_the_gradient_of_q(
    algorithm_id: str, setting: dict[str, Any]
) -> None:
    """The behaviour flow stands still, so x_T − x_0 is the policy's own: cosine with g − x_0."""
    goal = torch.tensor([0.8, -0.6])
    algorithm = make_algorithm(algorithm_id, flow_steps=3, hidden_dims=(16,), **setting)
    *_, (nets, _) = _train(algorithm, goal, still=True)
    noise, observations = _gentle_noise(64), random_batch(SEEDS, 64).observations
    x0 = noise["x0"]
    displacement = algorithm.act(nets, observations, noise) - x0
    cosine = torch.cosine_similarity(displacement, goal - x0, dim=-1)
    assert cosine.mean(-1).min() > 0.95
    assert displacement.norm(dim=-1).min() > 0.1


def _train(
    algorithm: Algorithm[Any], goal: Tensor, *, still: bool
) -> Iterator[tuple[Networks, dict[str, Tensor]]]:
    """The networks before and after 250 updates on Q = −|a − goal|², from a random policy.

    The behaviour flow is that policy, or one that stands still.
    """
    trained = random_params(algorithm.networks, SEEDS)
    start = {k: v.clone() for k, v in trained["policy"].items()}
    leaves = {name: trained[name] for name in ("policy", "flow_critic")}
    adam = torch.optim.Adam(
        [p.requires_grad_() for params in leaves.values() for p in params.values()], lr=1e-2
    )
    batch = random_batch(SEEDS, 32)

    def behavior(*inputs: Tensor) -> Tensor:
        return torch.zeros_like(inputs[1]) if still else bind(algorithm, "policy", start)(*inputs)

    def nets() -> Networks:
        live = {name: bind(algorithm, name, params) for name, params in leaves.items()}
        fixed = {
            name: bind(algorithm, name, {k: v.detach().clone() for k, v in params.items()})
            for name, params in leaves.items()
        }
        return on_a_quadratic(live, goal, behavior, frozen=fixed, target=fixed)

    yield nets(), {}
    for update in range(250):
        loss, metrics = algorithm.improvement_loss(
            nets(), batch, start_noise(SEEDS, 32, stream=update)
        )
        adam.zero_grad()
        loss.sum().backward()
        adam.step()
    yield nets(), metrics


def _gentle_noise(size: int) -> dict[str, Tensor]:
    """So near zero that no action starts clipped."""
    noise = start_noise(SEEDS, size, stream=78)
    return {**noise, "x0": noise["x0"].clamp(-2.5, 2.5) / 5}


def _without(function: Any) -> Any:
    """The same function, whose results carry no gradient."""
    return lambda *inputs: function(*inputs).detach()
