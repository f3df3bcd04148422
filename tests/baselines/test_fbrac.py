"""FBRAC against Eq. 6 of arXiv:2502.02538 in plain PyTorch, and by hand."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from algorithms.transitions import Transitions
from tests.algorithms.reference import (
    assert_same_weights,
    closed_form,
    learned,
    make_algorithm,
    of_seed,
    polyak,
    q_values,
    random_batch,
    random_noise,
    record,
)
from tests.algorithms.small import make_engine
from tests.baselines.bandit import rising
from tests.baselines.flow_actor_critic import GAMMA, flow_errors, integrate, td_loss


@pytest.mark.parametrize(
    ("aggregation", "normalize"), [("mean", False), ("min", True)], ids=["default", "adroit-like"]
)
def test_training_equals_plain_pytorch(
    aggregation: str, normalize: bool, transitions: Transitions
) -> None:
    engine = make_engine(
        "fbrac",
        transitions,
        learning_rate=3e-3,
        tau=0.05,
        discount=GAMMA,
        flow_steps=4,
        alpha=3.0,
        q_aggregation=aggregation,
        normalize_q_loss=normalize,
    )
    starts = [[learned(engine, name, slot) for name in ("flow", "critic")] for slot in (0, 1)]
    seen = record(engine)
    engine.train(6)
    for slot, nets in enumerate(starts):
        (flow,), critic = nets
        target = copy.deepcopy(critic)
        adam = torch.optim.Adam([p for net in nets for p in net.parameters()], lr=3e-3)
        for batch, noise in of_seed(seen, slot):
            s, frozen = batch.observations, copy.deepcopy(critic)
            q = q_values(frozen, s, integrate(flow, s, noise["z"], 4)).mean(0)
            q_loss = -q.mean()
            if normalize:
                q_loss = q_loss / q.abs().mean().detach()
            loss = 3.0 * flow_errors(flow, batch, noise).mean() + q_loss
            loss = loss + td_loss(
                critic, target, flow, batch, noise, steps=4, aggregation=aggregation
            )
            adam.zero_grad()
            loss.backward()
            adam.step()
            polyak(target, critic, 0.05)
        assert_same_weights(learned(engine, "flow", slot), nets[0])
        assert_same_weights(learned(engine, "critic", slot), critic)
        assert_same_weights(learned(engine, "critic", slot, "targets"), target)


def test_the_policy_loss_by_hand() -> None:
    """u = 9 ends clipped at 1, where the twins say 2 and 4; flow matching weighs 4."""
    batch = random_batch(1, 2)
    nets = closed_form(
        {"flow": lambda _s, x, _t: torch.full_like(x, 9.0)},
        frozen={"critic": lambda _s, a: torch.stack([2 * a[..., 0], 4 * a[..., 0]], 1)},
    )
    algorithm: Any = make_algorithm("fbrac", alpha=4.0, flow_steps=5)
    noise = random_noise(algorithm.noise, 1, 2)
    loss, metrics = algorithm.policy_loss(nets, batch, noise)
    bc_loss = float((9.0 - (batch.actions - noise["x0"])).square().mean())
    assert float(metrics["flow/q_loss"]) == pytest.approx(-3.0)
    assert float(metrics["flow/bc_loss"]) == pytest.approx(bc_loss, rel=1e-5)
    assert float(loss) == pytest.approx(4 * bc_loss - 3.0, rel=1e-5)


def test_the_policy_gradient_goes_through_every_later_step() -> None:
    """u = θ x from x_0: x_K = (1 + θ/K)^K x_0, so d(−Q)/dθ = −(1 + θ/K)^(K−1) x_0 for Q = a_1."""
    theta = torch.tensor(0.5, requires_grad=True)
    nets = closed_form(
        {"flow": lambda _s, x, _t: theta * x},
        frozen={"critic": lambda _s, a: a[..., 0].unsqueeze(1).expand(1, 2, 1)},
    )
    algorithm: Any = make_algorithm("fbrac", flow_steps=3)
    noise = random_noise(algorithm.noise, 1, 1)
    noise["z"] = torch.full((1, 1, 2), 0.3)
    _, metrics = algorithm.policy_loss(nets, random_batch(1, 1), noise)
    metrics["flow/q_loss"].sum().backward()
    assert theta.grad is not None
    assert float(theta.grad) == pytest.approx(-0.3 * (1 + 0.5 / 3) ** 2, rel=1e-5)


@pytest.mark.parametrize("algorithm_id", ["dfql", "fbrac"])
def test_climbs_q_past_the_data_as_far_as_flow_matching_lets_it(algorithm_id: str) -> None:
    """The data's actions average 0, and Q rises with their sum."""
    sums = []
    for alpha in (1.0, 100.0):
        engine = make_engine(
            algorithm_id,
            rising(),
            offline_steps=100,
            hidden_dims=(32, 32),
            batch_size=64,
            learning_rate=1e-2,
            alpha=alpha,
            flow_steps=4,
        )
        engine.train(100)
        actions = engine.policy("test")(np.zeros((2, 500, 1), np.float32))
        sums.append(actions.sum(-1).mean(1))
    assert (sums[0] > 0.5).all()
    assert (np.abs(sums[1]) < 0.25).all()
