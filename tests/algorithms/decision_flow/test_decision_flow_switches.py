"""Decision Flow's switches by themselves: directions, divergences, ρ's rule, scales."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal, kl_divergence

from algorithms.base import Algorithm
from algorithms.blocks.critics import data_values, iql_critic_loss
from algorithms.decision_flow.flow_mdp import Decisions, gradient_metrics
from tests.algorithms.flow_reference import leaves, start_noise
from tests.algorithms.reference import closed_form, make_algorithm, random_batch, random_noise

SEEDS, BATCH, T, DIM = 2, 4, 3, 2


def _draw(*shape: int, stream: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(stream))


def _ascent(direction: str, gradient: Tensor, velocity: Tensor) -> Tensor:
    algorithm: Any = make_algorithm("df-dir", direction=direction)
    ascent: Tensor = algorithm.ascent(gradient, velocity)
    return ascent


def test_a_unit_direction_has_norm_one_along_the_gradient() -> None:
    gradient, velocity = 1e-3 * _draw(SEEDS, 50, DIM), _draw(SEEDS, 50, DIM, stream=1)
    direction = _ascent("unit", gradient, velocity)
    torch.testing.assert_close(direction.norm(dim=-1), torch.ones(SEEDS, 50), rtol=1e-3, atol=0)
    cosine = torch.cosine_similarity(direction, gradient, dim=-1)
    torch.testing.assert_close(cosine, torch.ones(SEEDS, 50), rtol=1e-4, atol=0)
    assert not _ascent("unit", 0 * gradient, velocity).any()


def test_the_angle_is_what_differentiating_through_the_unit_velocity_alone_leaves() -> None:
    """∇_u T V(x + h û), h = |u|/T held: orthogonal to û, and zero where û follows the gradient."""
    gradient, velocity = _draw(1, 50, DIM), _draw(1, 50, DIM, stream=1)
    gradient[0, 0] = 2.5 * velocity[0, 0]
    ascent = _ascent("angle", gradient, velocity)
    u = velocity.clone().requires_grad_()
    step = u.norm(dim=-1, keepdim=True).detach() / T
    reached = step * u / u.norm(dim=-1, keepdim=True)
    (expected,) = torch.autograd.grad(T * (gradient * reached).sum(), u)
    torch.testing.assert_close(ascent, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close((ascent * velocity).sum(-1), torch.zeros(1, 50), rtol=0, atol=1e-5)
    assert ascent[0, 0].norm() < 1e-5 < ascent[0, 1:].norm(dim=-1).min()


def test_the_logged_gradients_equal_loops_over_flow_steps_and_states() -> None:
    gradient, velocity = _draw(SEEDS, T * BATCH, DIM), _draw(SEEDS, T * BATCH, DIM, stream=1)
    metrics = gradient_metrics(gradient, velocity, T)
    for s in range(SEEDS):
        steps = [gradient[s, BATCH * k : BATCH * (k + 1)] for k in range(T)]
        norm = torch.stack([g.norm() for step in steps for g in step]).mean()
        last = torch.stack([g.norm() for g in steps[-1]]).mean()
        variance = torch.stack([step.var(0, unbiased=False).sum() for step in steps]).mean()
        pairs = zip(gradient[s], velocity[s], strict=True)
        cosine = torch.stack([g @ u / (g.norm() * u.norm()) for g, u in pairs]).mean()
        torch.testing.assert_close(metrics["policy/gradient_norm"][s], norm)
        torch.testing.assert_close(metrics["policy/q_gradient_norm"][s], last)
        torch.testing.assert_close(metrics["policy/gradient_variance"][s], variance)
        torch.testing.assert_close(metrics["policy/direction_cosine"][s], cosine)


def _divergence(algorithm: Algorithm[Any], velocity: Tensor, log_variance: Tensor) -> Tensor:
    """From a behaviour flow that stands still."""
    at = torch.zeros_like(velocity)
    time = at[..., :1]
    nets = closed_form(
        {"spread": lambda *_: log_variance, "behavior": lambda _s, x, _t: torch.zeros_like(x)}
    )
    decisions = Decisions(at, at, at, time, at, time)
    divergence: Tensor = algorithm.divergence(nets, decisions, velocity)
    return divergence


def test_kl_is_that_of_two_gaussian_velocities_with_the_shared_spread() -> None:
    velocity, log_variance = _draw(SEEDS, BATCH, DIM), _draw(SEEDS, BATCH, DIM, stream=1)
    algorithm = make_algorithm("df-div", divergence="kl")
    deviation = (log_variance / 2).exp()
    policy, behavior = (Independent(Normal(u, deviation), 1) for u in (velocity, 0 * velocity))
    torch.testing.assert_close(
        _divergence(algorithm, velocity, log_variance), kl_divergence(policy, behavior)
    )


@pytest.mark.parametrize(("reduction", "expected"), [("sum", 5.0), ("mean", 2.5)])
def test_the_squared_distance_is_summed_or_averaged_over_dimensions(
    reduction: str, expected: float
) -> None:
    algorithm = make_algorithm("df-div", divergence_reduction=reduction)
    velocity = torch.tensor([[[1.0, -2.0]]])
    assert _divergence(algorithm, velocity, velocity).tolist() == [[expected]]


def test_the_best_spread_is_the_variance_of_what_the_behaviour_flow_leaves() -> None:
    """For a spread that is one number a dimension: stationary there, worse on either side."""
    algorithm: Any = make_algorithm("df-div", divergence="kl")
    batch, noise = random_batch(1, 64), random_noise(algorithm.noise, 1, 64)
    residual = batch.actions - noise["x0"] - 0.3
    variance = residual.square().mean(1, keepdim=True)

    def loss(log_variance: Tensor) -> Tensor:
        nets = closed_form(
            {
                "spread": lambda _s, x, _t: log_variance.expand_as(x),
                "behavior": lambda _s, x, _t: torch.full_like(x, 0.3),
            }
        )
        likelihood: Tensor = algorithm.spread_loss(nets, batch, noise)
        return likelihood

    best = variance.log().requires_grad_()
    (slope,) = torch.autograd.grad(loss(best).sum(), best)
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-6)
    assert loss(best) < min(loss(best - 0.1), loss(best + 0.1))


def test_rho_grows_with_the_critics_disagreement_if_asked() -> None:
    """Twins 1 and 3, V = 0: sd √2, mean advantage 1, so ρ (1 + 2 √2)."""
    twins = torch.tensor([1.0, 3.0]).view(1, 2, 1)
    nets = closed_form(
        {
            "critic": lambda s, _a: twins.expand(len(s), 2, s.shape[1]),
            "value": lambda s: torch.zeros(s.shape[:2]),
        }
    )
    data = data_values(nets, random_batch(SEEDS, BATCH))
    constant: Any = make_algorithm("df-div", rho=0.3)
    grown: Any = make_algorithm("df-div", rho=0.3, rho_rule="critic-noise")
    torch.testing.assert_close(constant.rho(data), torch.full((2, 1), 0.3))
    expected = torch.full((2, 1), 0.3 * (1 + 2 * 2**0.5))
    torch.testing.assert_close(grown.rho(data), expected)


@pytest.mark.parametrize("kind", ["advantage", "q", "none"])
def test_the_value_scale_divides_the_final_value(kind: str) -> None:
    """Q = 4 + 2 Σa and V = 3, on actions that end at zero."""
    batch, noise = random_batch(SEEDS, BATCH), start_noise(SEEDS, BATCH)
    nets = closed_form(
        {
            "policy": lambda _s, x, t: -x / (1 - t),  # reaches 0 in any number of steps
            "behavior": lambda _s, x, t: -x / (1 - t),
            "flow_critic": lambda _s, x, _t: torch.zeros(x.shape[:2]),
            "critic": lambda _s, a: (4 + 2 * a.sum(-1)).unsqueeze(1).expand(-1, 2, -1),
            "value": lambda s: torch.full(s.shape[:2], 3.0),
        }
    )
    algorithm = make_algorithm("df-div", flow_steps=T, value_scale=kind)
    _, metrics = algorithm.improvement_loss(nets, batch, noise)
    q = 4 + 2 * batch.actions.sum(-1)
    size = {"advantage": q - 3, "q": q, "none": torch.ones_like(q)}[kind].abs().mean(1)
    torch.testing.assert_close(metrics["policy/final_advantage"], (4 - 3) / size)
    torch.testing.assert_close(metrics["critic/advantage_scale"], size)


@pytest.mark.parametrize(
    ("switch", "names"),
    [({"joint_critic": True}, ("critic", "value")), ({"divergence": "kl"}, ("spread",))],
    ids=["joint critic", "spread"],
)
def test_what_trains_beside_the_policy_follows_its_own_loss_alone(
    switch: dict[str, Any], names: tuple[str, ...]
) -> None:
    """Q and V do as in IQL; the spread does not widen to make divergence cheap."""
    algorithm: Any = make_algorithm("df-div", flow_steps=T, discount=0.9, **switch)
    batch, noise = random_batch(SEEDS, BATCH), random_noise(algorithm.noise, SEEDS, BATCH)
    gradients = []
    for alone in (True, False):
        trained, _, nets = leaves(algorithm, SEEDS)
        if not alone:
            loss, _ = algorithm.improvement_loss(nets, batch, noise)
        elif "spread" in names:
            loss = algorithm.spread_loss(nets, batch, noise)
        else:
            loss, _, _ = iql_critic_loss(nets, batch, discount=0.9, expectile=0.7)
        parameters = [value for name in names for value in trained[name].values()]
        gradients.append(torch.autograd.grad(loss.sum(), parameters))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)
