"""Q-Flow against the losses of arXiv:2605.13435 in plain PyTorch, and by hand."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

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
from tests.baselines.flow_actor_critic import GAMMA, td_loss

STEPS, FREQUENCIES = 4, [1.0, 16.0, 256.0]


def _waves(time: Tensor) -> Tensor:
    angles = time * torch.tensor(FREQUENCIES)
    return torch.cat([angles.sin(), angles.cos()], 1)


def _values(inner: nn.ModuleList, s: Tensor, x: Tensor, time: Tensor) -> Tensor:
    """Both of V. -> [2, B]."""
    return torch.stack([net(torch.cat([s, x, _waves(time)], 1))[:, 0] for net in inner])


def _end(flow: nn.Module, s: Tensor, x: Tensor, time: Tensor) -> Tensor:
    """Where the flow takes x from its own time, in steps of 1 / STEPS and a shorter last one."""
    ends = []
    for i in range(len(s)):
        point, now = x[i], float(time[i])
        while now < 1:
            h = min(1 / STEPS, 1 - now)
            point = point + h * flow(torch.cat([s[i], point, torch.tensor([now])]))
            now += h
        ends.append(point)
    return torch.stack(ends).clip(-1, 1)


@pytest.mark.parametrize("aggregation", ["mean", "min"])
def test_training_equals_plain_pytorch(aggregation: str, transitions: Transitions) -> None:
    engine = make_engine(
        "q-flow",
        transitions,
        guidance_lambda=0.3,
        learning_rate=3e-3,
        tau=0.05,
        discount=GAMMA,
        flow_steps=STEPS,
        q_aggregation=aggregation,
        time_frequencies=3,
    )
    names = ("flow", "critic", "inner_value")
    starts = [[learned(engine, name, slot) for name in names] for slot in (0, 1)]
    seen = record(engine)
    engine.train(5)

    def one_of(q: Tensor) -> Tensor:
        return q.min(0).values if aggregation == "min" else q.mean(0)

    for slot, networks in enumerate(starts):
        (flow,), critic, inner = networks
        target = copy.deepcopy(critic)
        adam = torch.optim.Adam([p for net in networks for p in net.parameters()], lr=3e-3)
        for batch, noise in of_seed(seen, slot):
            s, a = batch.observations, batch.actions
            t, x0 = noise["time"], noise["x0"]
            x = ((1 - t) * x0 + t * a).requires_grad_()
            (slope,) = torch.autograd.grad(_values(inner, s, x, t).mean(0).sum(), x)
            velocity = flow(torch.cat([s, x.detach(), t], 1))
            flow_loss = ((velocity - (a - x0 + slope / 0.3)) ** 2).mean()

            t = noise["inner_time"]
            x = (1 - t) * noise["inner_x0"] + t * a
            with torch.no_grad():
                goal = one_of(q_values(target, s, _end(flow, s, x, t)))
            inner_loss = ((one_of(_values(inner, s, x, t)) - goal) ** 2).mean()
            loss = flow_loss + inner_loss
            loss = loss + td_loss(
                critic, target, flow, batch, noise, steps=STEPS, aggregation=aggregation
            )
            adam.zero_grad()
            loss.backward()
            adam.step()
            polyak(target, critic, 0.05)
        for name, net in zip(names, networks, strict=True):
            assert_same_weights(learned(engine, name, slot), net)
        assert_same_weights(learned(engine, "critic", slot, "targets"), target)


def test_flow_matching_is_bent_by_the_mean_gradient_of_the_inner_value_over_lambda() -> None:
    """V = −|x − g|² and −3 |x − g|²: a slope of −4 (x − g) at x_t."""
    algorithm: Any = make_algorithm("q-flow", guidance_lambda=0.5)
    goal = torch.tensor([0.5, -0.5])

    def inner(_s: Tensor, x: Tensor, _waves: Tensor) -> Tensor:
        distance = (x - goal).square().sum(-1)
        return torch.stack([-distance, -3 * distance], 1)

    nets = closed_form(
        {
            "flow": lambda _s, x, _t: torch.full_like(x, 0.7),
            "inner_value": inner,
            "critic": lambda s, _a: torch.zeros(1, 2, s.shape[1]),
        }
    )
    batch, noise = random_batch(1, 3), random_noise(algorithm.noise, 1, 3)
    _, metrics = algorithm.policy_loss(nets, batch, noise)
    t, x0, a = noise["time"], noise["x0"], batch.actions
    slope = -4 * ((1 - t) * x0 + t * a - goal)
    expected = (0.7 - (a - x0 + slope / 0.5)).square().mean()
    assert float(metrics["flow/loss"]) == pytest.approx(float(expected), rel=1e-5)
    assert float(metrics["flow/slope"]) == pytest.approx(float(slope.norm(dim=-1).mean()), rel=1e-5)


@pytest.mark.parametrize(("aggregation", "error"), [("mean", 1.5 - 3), ("min", 1 - 2)])
def test_the_inner_value_regresses_on_the_target_critic_of_the_clipped_action(
    aggregation: str, error: float
) -> None:
    """u = 40 ends clipped at 1, where the target twins say 2 and 4; V says 1 and 2."""
    algorithm: Any = make_algorithm("q-flow", q_aggregation=aggregation)
    nets = closed_form(
        {
            "flow": lambda _s, x, _t: torch.full_like(x, 40.0),
            "inner_value": lambda s, _x, _w: (
                torch.tensor([1.0, 2.0]).view(1, 2, 1).expand(1, 2, s.shape[1])
            ),
        },
        target={"critic": lambda _s, a: torch.stack([2 * a[..., 0], 4 * a[..., 0]], 1)},
    )
    noise = random_noise(algorithm.noise, 1, 2)
    noise["inner_time"] = torch.tensor([[[0.0], [0.5]]])
    loss, _ = algorithm.inner_value_loss(nets, random_batch(1, 2), noise)
    assert float(loss) == pytest.approx(error**2)


def test_with_a_small_lambda_it_climbs_q_past_the_data_and_with_a_large_one_it_clones_them() -> (
    None
):
    """The data's actions average 0, and Q rises with their sum."""
    sums = []
    for guidance_lambda in (1.0, 200.0):
        engine = make_engine(
            "q-flow",
            rising(),
            offline_steps=100,
            hidden_dims=(32, 32),
            batch_size=64,
            learning_rate=1e-2,
            guidance_lambda=guidance_lambda,
            flow_steps=3,
        )
        engine.train(100)
        actions = engine.policy("test")(np.zeros((2, 500, 1), np.float32))
        sums.append(actions.sum(-1).mean(1))
    assert (sums[0] > 0.5).all()
    assert (np.abs(sums[1]) < 0.25).all()
