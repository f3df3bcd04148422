"""Decision Flow's equations in closed form: flow values, one decision, the price of ρ."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.base import Networks, Normal
from algorithms.decision_flow import DecisionFlow
from algorithms.networks import Params
from algorithms.transitions import Transitions
from tests.algorithms.reference import (
    Function,
    closed_form,
    make_algorithm,
    random_batch,
    random_noise,
    random_params,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine

SEEDS, BATCH = 2, 4

variants = pytest.mark.parametrize("variant", ["df-dir", "df-div"])


def _noise(size: int = BATCH, stream: int = 5) -> dict[str, Tensor]:
    return random_noise({"x0": Normal(ACTION_DIM)}, SEEDS, size, stream)


def test_div_values_are_the_return_of_the_penalties_still_to_come() -> None:
    """Simulated decision by decision: reward -ρ D_k / T each, the final value at the end."""
    steps, rho = 3, 0.4
    generator = torch.Generator().manual_seed(0)
    final_value = torch.randn(SEEDS, BATCH, generator=generator)
    divergence = torch.rand(steps, SEEDS, BATCH, generator=generator)
    values = make_algorithm("df-div", flow_steps=steps, rho=rho).flow_values(
        final_value, divergence
    )
    for k in range(steps):
        flow_return = torch.zeros(SEEDS, BATCH)
        for j in range(k, steps):
            flow_return += -rho * divergence[j] / steps
        torch.testing.assert_close(values[k], flow_return + final_value)


def test_dir_values_are_the_final_value_at_every_decision() -> None:
    final_value = torch.tensor([[1.0, -2.0]])
    values = make_algorithm("df-dir", flow_steps=3).flow_values(final_value, torch.rand(3, 1, 2))
    assert values.tolist() == [[[1.0, -2.0]]] * 3


@variants
def test_one_decision_is_the_exact_gain_less_the_penalty(variant: str) -> None:
    """T = 1, nothing learned in between: A(s, clip(x_0 + u)), or ⟨u, ∇A/|∇A|⟩, and ρ |u - u_v|²."""
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
    algorithm = make_algorithm(variant, flow_steps=1, rho=0.5)
    _, metrics = algorithm.improvement_loss(nets, batch, {"x0": x0})

    scale = (batch.actions.sum(-1) - batch.observations[..., 0]).abs().mean(-1)
    sums = torch.tensor([[0.5 + 0.0, 0.8 + 0.5], [0.3 + 0.1, 1.0 - 1.0]])  # the last is clipped
    advantages = (sums - batch.observations[..., 0]) / scale[:, None]
    # ∇(a_1 + a_2) points along (1, 1), and is zero where both actions are clipped.
    aligned = torch.tensor([[1.0, 1.0], [1.0, 0.0]]) * (0.3 + 0.1) / 2**0.5
    gain = advantages if variant == "df-div" else aligned
    expected = (-gain + 0.5 * (0.2**2 + 0.2**2)).mean(-1)
    torch.testing.assert_close(metrics["policy/loss"], expected)
    torch.testing.assert_close(metrics["policy/final_advantage"], advantages.mean(-1))
    torch.testing.assert_close(metrics["policy/divergence"], torch.full((2,), 0.08))


@variants
def test_one_decision_on_a_quadratic_is_best_where_calculus_says(variant: str) -> None:
    """T = 1, Q = -|a - g|²: stationary at u = ((g - x_0)/κ + ρ u_v) / (1/κ + ρ) for DF-div, and
    for DF-dir a step of 1/2ρ from u_v, straight towards g."""
    goal, u_v, rho = torch.tensor([0.4, -0.3]), torch.tensor([0.1, 0.1]), 7.0
    x0 = 0.3 * _noise()["x0"]
    batch = random_batch(SEEDS, BATCH)
    scale = (batch.actions - goal).square().sum(-1).mean(-1).view(-1, 1, 1)  # κ with V = 0
    best = ((goal - x0) / scale + rho * u_v) / (1 / scale + rho)
    if variant == "df-dir":
        way = goal - x0 - u_v
        assert way.norm(dim=-1).min() > 1 / (2 * rho)
        best = u_v + way / way.norm(dim=-1, keepdim=True) / (2 * rho)
    u = best.clone().requires_grad_()
    nets = _quadratic({"policy": lambda *_: u}, goal, lambda *_: u_v)
    loss, _ = make_algorithm(variant, flow_steps=1, rho=rho).improvement_loss(
        nets, batch, {"x0": x0}
    )
    loss.sum().backward()
    torch.testing.assert_close(u.grad, torch.zeros_like(u), rtol=0, atol=1e-6)


def test_the_scale_of_the_value_function_does_not_matter() -> None:
    """κ divides it out: ten times the rewards ask for the same policy."""
    batch, x0 = random_batch(SEEDS, BATCH), _noise()
    losses = []
    for factor in (1.0, 10.0):
        nets = _quadratic(
            {"policy": lambda _s, x, _t: x / 2}, torch.zeros(2), lambda *_: torch.zeros(2), factor
        )
        _, metrics = make_algorithm("df-div", flow_steps=2).improvement_loss(nets, batch, x0)
        losses.append(metrics["policy/loss"])
    torch.testing.assert_close(*losses)


@variants
@pytest.mark.parametrize("rho", [0.0, 1000.0])
def test_rho_chooses_between_the_value_and_the_behaviour(variant: str, rho: float) -> None:
    """Q = -|a - g|², from a random behaviour flow: climbed at ρ = 0, not followed at a large ρ."""
    goal = torch.tensor([0.5, -0.5])
    algorithm = make_algorithm(variant, flow_steps=3, rho=rho, hidden_dims=(16,))
    trained = random_params(algorithm.networks, SEEDS)
    behavior = {k: v.clone() for k, v in trained["policy"].items()}
    flow = algorithm.networks["policy"]
    leaves = {name: trained[name] for name in ("policy", "flow_critic")}
    adam = torch.optim.Adam(
        [p.requires_grad_() for params in leaves.values() for p in params.values()], lr=1e-2
    )
    batch = random_batch(SEEDS, 32)

    def nets() -> Networks:
        live = {name: _bind(algorithm, name, params) for name, params in leaves.items()}
        still = {
            name: _bind(algorithm, name, {k: v.detach() for k, v in params.items()})
            for name, params in leaves.items()
        }
        return _quadratic(
            live, goal, lambda *inputs: flow(behavior, *inputs), frozen=still, target=still
        )

    def distance(nets: Networks) -> float:
        actions = algorithm.act(nets, batch.observations, _noise(32, stream=77))
        return float((actions.clamp(-1, 1) - goal).square().sum(-1).mean())

    before = distance(nets())
    for update in range(250):
        loss, metrics = algorithm.improvement_loss(nets(), batch, _noise(32, stream=update))
        adam.zero_grad()
        loss.sum().backward()
        adam.step()
    if rho == 0:
        # DF-dir's steps do not shrink near the goal, so it ends around it rather than at it.
        assert distance(nets()) < {"df-div": 0.05, "df-dir": 0.3}[variant] * before
        assert metrics["policy/divergence"].min() > 0.1
    else:
        assert distance(nets()) > 0.9 * before
        assert metrics["policy/divergence"].max() < 1e-3


@variants
def test_a_single_flow_step_trains(variant: str, transitions: Transitions) -> None:
    """With T = 1 no decision precedes the last, so there is nothing to ask the flow critic."""
    engine = make_engine(variant, transitions, pretrain_share=0.5, flow_steps=1)
    engine.train(40)
    assert all(np.isfinite(value).all() for value in engine.metrics().values())


@variants
def test_improvement_starts_at_the_averaged_behaviour_and_freezes_the_rest(
    variant: str, transitions: Transitions
) -> None:
    engine = make_engine(variant, transitions, pretrain_share=0.5, policy_learning_rate=0.0)
    engine.train(20)
    pretrained = engine.state(0)
    engine.train(20)
    end = engine.state(0)
    for key, value in end.items():
        group, name, *rest = key.split("/")
        if name == "policy" and group in ("params", "targets"):
            assert (value == pretrained["/".join(["targets", "behavior", *rest])]).all()
        elif name in ("behavior", "critic", "value"):
            assert (value == pretrained[key]).all(), key
        elif name == "flow_critic" and group == "params" and rest[0].startswith("weight"):
            assert (value != pretrained[key]).any(), key
    assert (end["updates/behavior"], end["updates/policy"]) == (20, 20)


def _bind(algorithm: DecisionFlow, name: str, params: Params) -> Function:
    return lambda *inputs: algorithm.networks[name](params, *inputs)


def _quadratic(
    live: dict[str, Function],
    goal: Tensor,
    behavior: Function,
    factor: float = 1.0,
    **kinds: dict[str, Function],
) -> Networks:
    """Q = -factor |a - g|², the twins alike, and V = 0."""

    def critic(_s: Tensor, a: Tensor) -> Tensor:
        return -factor * (a - goal).square().sum(-1).unsqueeze(1).expand(-1, 2, -1)

    functions = {
        "flow_critic": lambda _s, x, _t: torch.zeros(x.shape[:2]),
        "critic": critic,
        "value": lambda s: torch.zeros(s.shape[:2]),
        "behavior": behavior,
        **live,
    }
    return closed_form(functions, **kinds)


@variants
def test_until_the_policy_has_trained_the_behaviour_flow_acts(
    variant: str, transitions: Transitions
) -> None:
    """At the last step of the first stage still, and no longer one step on."""
    engine = make_engine(variant, transitions, total_steps=40, pretrain_share=0.5, rho=0.0)
    observations = np.ones((2, 4, OBS_DIM), np.float32)
    engine.train(20)
    behavior = engine.policy("test")(observations)
    engine.train(1)
    improved = engine.policy("test")(observations)
    assert not np.array_equal(behavior, improved)
    # One update moves the policy's average by a hair: it started where the behaviour flow was.
    np.testing.assert_allclose(behavior, improved, atol=1e-4)
