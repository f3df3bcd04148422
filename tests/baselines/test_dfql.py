"""DFQL: Q's gradient at the action in each step's velocity, in plain PyTorch and by hand."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from algorithms.transitions import Transitions
from tests.algorithms.flow_reference import leaves
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
from tests.baselines.flow_actor_critic import GAMMA, flow_errors, integrate, td_loss

K = 4


def _guidance(flow: nn.Module, critic: nn.ModuleList, s: Tensor, z: Tensor) -> Tensor:
    """How far each step's velocity is along Q's gradient at the action that they end in. -> [B]."""
    with torch.no_grad():
        points, x = [], z
        for k in range(K):
            points.append(torch.cat([s, x, torch.full((len(s), 1), k / K)], 1))
            x = x + flow(points[-1]) / K
    x.requires_grad_()
    [slope] = torch.autograd.grad(q_values(critic, s, x.clip(-1, 1)).mean(0).sum(), x)
    return sum(((flow(point) * slope).sum(1) for point in points), torch.zeros(len(s))) / K


@pytest.mark.parametrize("normalize", [False, True])
def test_training_equals_plain_pytorch(normalize: bool, transitions: Transitions) -> None:
    """Guided velocities, where ours differentiates Q of an action whose points are held fixed."""
    engine = make_engine(
        "dfql",
        transitions,
        learning_rate=3e-3,
        tau=0.05,
        discount=GAMMA,
        flow_steps=K,
        alpha=3.0,
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
            guidance = _guidance(flow, frozen, s, noise["z"]).mean()
            if normalize:
                q = q_values(frozen, s, integrate(flow, s, noise["z"], K)).mean(0)
                guidance = guidance / q.abs().mean().detach()
            loss = 3.0 * flow_errors(flow, batch, noise).mean() - guidance
            loss = loss + td_loss(critic, target, flow, batch, noise, steps=K, aggregation="mean")
            adam.zero_grad()
            loss.backward()
            adam.step()
            polyak(target, critic, 0.05)
        assert_same_weights(learned(engine, "flow", slot), nets[0])
        assert_same_weights(learned(engine, "critic", slot), critic)
        assert_same_weights(learned(engine, "critic", slot, "targets"), target)


def test_the_policy_gradient_goes_through_no_later_step() -> None:
    """u = θ x and Q = a_1: d(−Q)/dθ = −(1/K) Σ_k x_k, x_k = (1 + θ/K)^k x_0."""
    theta = torch.tensor(0.5, requires_grad=True)
    nets = closed_form(
        {"flow": lambda _s, x, _t: theta * x},
        frozen={"critic": lambda _s, a: a[..., 0].unsqueeze(1).expand(1, 2, 1)},
    )
    algorithm: Any = make_algorithm("dfql", flow_steps=3)
    noise = random_noise(algorithm.noise, 1, 1)
    noise["z"] = torch.full((1, 1, 2), 0.3)
    _, metrics = algorithm.policy_loss(nets, random_batch(1, 1), noise)
    metrics["flow/q_loss"].sum().backward()
    growth = 1 + 0.5 / 3
    assert theta.grad is not None
    assert float(theta.grad) == pytest.approx(-0.3 * (1 + growth + growth**2) / 3, rel=1e-5)


@pytest.mark.parametrize(("steps", "equal"), [(1, True), (3, False)])
def test_its_loss_is_that_of_fbrac_and_with_one_step_its_gradient(steps: int, equal: bool) -> None:
    """One step leaves nothing to back-propagate through."""
    batch, losses, gradients = random_batch(2, 4), [], []
    for algorithm_id in ("dfql", "fbrac"):
        algorithm: Any = make_algorithm(algorithm_id, flow_steps=steps)
        trained, _, nets = leaves(algorithm, 2)
        loss, _ = algorithm.loss(nets, batch, random_noise(algorithm.noise, 2, 4))
        losses.append(loss)
        gradients.append(torch.autograd.grad(loss.sum(), list(trained["flow"].values())))
    assert torch.equal(*losses)
    same = [torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in zip(*gradients, strict=True)]
    assert all(same) == equal
