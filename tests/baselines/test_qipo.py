"""QIPO against the paper's algorithm in plain PyTorch, by hand, and on a bandit of two modes."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
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
from tests.baselines.bandit import GOOD, POOR, share_near, two_modes
from tests.baselines.flow_actor_critic import GAMMA, integrate

WARM_UP, ITERATION, SUPPORT, BETA, K = 2, 2, 3, 2.0, 4


def _q(critic: nn.ModuleList, s: Tensor, a: Tensor, aggregation: str) -> Tensor:
    q = q_values(critic, s, a)
    return q.min(0).values if aggregation == "min" else q.mean(0)


def _error(flow: nn.Module, s: Tensor, a: Tensor, x0: Tensor, t: Tensor) -> Tensor:
    """Flow matching's, of one action a state. -> [B]."""
    return ((flow(torch.cat([s, (1 - t) * x0 + t * a, t], 1)) - (a - x0)) ** 2).mean(1)


@pytest.mark.parametrize("aggregation", ["mean", "min"])
def test_training_equals_plain_pytorch(aggregation: str, transitions: Transitions) -> None:
    """A warm-up of two updates and two iterations of as many, action by action."""
    total = WARM_UP + 2 * ITERATION
    engine = make_engine(
        "qipo",
        transitions,
        offline_steps=total,
        behavior_share=WARM_UP / total,
        iterations=2,
        support_actions=SUPPORT,
        beta=BETA,
        flow_steps=K,
        learning_rate=3e-3,
        tau=0.05,
        discount=GAMMA,
        q_aggregation=aggregation,
    )
    starts = [[learned(engine, name, slot) for name in ("flow", "critic")] for slot in (0, 1)]
    seen = record(engine)
    engine.train(total)
    assert len(seen) == total
    for slot, nets in enumerate(starts):
        (flow,), critic = nets
        target, support = copy.deepcopy(critic), copy.deepcopy(flow)
        adam = torch.optim.Adam([p for net in nets for p in net.parameters()], lr=3e-3)
        for i, (batch, noise) in enumerate(of_seed(seen, slot)):
            s, following = batch.observations, batch.next_observations
            if i >= WARM_UP and (i - WARM_UP) % ITERATION == 0:
                support = copy.deepcopy(flow)
            with torch.no_grad():
                proposed = [integrate(flow, following, z, K) for z in noise["next_z"].split(2, 1)]
                qs = torch.stack([_q(target, following, a, aggregation) for a in proposed])
                powers = torch.exp(BETA * qs)
                value = (powers * qs).sum(0) / powers.sum(0)
                backup = batch.rewards + GAMMA * batch.masks * value
                drawn = [integrate(support, s, z, K) for z in noise["support_z"].split(2, 1)]
                actions = [batch.actions, *drawn] if i >= WARM_UP else [batch.actions]
                powers = torch.stack(
                    [torch.exp(BETA * _q(critic, s, a, aggregation)) for a in actions]
                )
                weights = powers / powers.sum(0)
            loss = ((q_values(critic, s, batch.actions) - backup) ** 2).mean()
            for weight, a, x0, t in zip(
                weights, actions, noise["x0"].split(2, 1), noise["time"].split(1, 1), strict=False
            ):
                loss = loss + (weight * _error(flow, s, a, x0, t)).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            polyak(target, critic, 0.05)
        assert_same_weights(learned(engine, "flow", slot), nets[0])
        assert_same_weights(learned(engine, "critic", slot), critic)
        assert_same_weights(learned(engine, "critic", slot, "targets"), target)
        assert_same_weights(learned(engine, "support", slot)[0], support)


def test_actions_of_the_support_weigh_the_softmax_of_their_value() -> None:
    """Q = log of (1 for a = 0.5, 3 for a = 1): weights 1/4 for the data's, 3/4 for the policy's."""
    batch = random_batch(1, 2)
    batch = batch._replace(actions=torch.full_like(batch.actions, 0.5))
    level = torch.tensor(0.0, requires_grad=True)
    nets = closed_form(
        {"flow": lambda _s, x, _t: level + 0 * x},
        frozen={
            "support": lambda _s, x, _t: 9.0 + 0 * x,  # ends beyond 1, where it is clipped
            "critic": lambda _s, a: (
                torch.where(a[..., 0] > 0.9, math.log(3), 0.0).unsqueeze(1).expand(1, 2, -1)
            ),
        },
    )
    algorithm: Any = make_algorithm("qipo", support_actions=1, beta=1.0, flow_steps=2)
    noise = random_noise(algorithm.noise, 1, 2)
    noise["x0"] = torch.zeros_like(noise["x0"])
    loss, metrics = algorithm.policy_loss(nets, batch, noise)
    assert float(metrics["flow/data_weight"]) == pytest.approx(0.25)
    assert loss.item() == pytest.approx(0.25 * 0.5**2 + 0.75 * 1)
    loss.sum().backward()
    assert level.grad is not None
    assert level.grad.item() == pytest.approx(-2 * (0.25 * 0.5 + 0.75 * 1))


def test_the_backup_is_the_softmax_mean_of_the_target() -> None:
    """Two next actions, worth 0 and log 3: a mean of 3/4 log 3. r = 1, γ = 0.5, Q = 0."""
    nets = closed_form(
        {"flow": lambda _s, x, _t: 0 * x, "critic": lambda _s, a: torch.zeros(1, 2, a.shape[1])},
        target={
            "critic": lambda _s, a: (
                torch.where(a[..., 0] > 0, math.log(3), 0.0).unsqueeze(1).expand(1, 2, -1)
            )
        },
    )
    algorithm: Any = make_algorithm("qipo", support_actions=2, beta=1.0, discount=0.5)
    batch = random_batch(1, 2)._replace(rewards=torch.ones(1, 2), masks=torch.tensor([[1.0, 0.0]]))
    noise = random_noise(algorithm.noise, 1, 2)
    noise["next_z"] = torch.tensor([[[-0.5, 0.0, 0.5, 0.0], [0.5, 0.0, -0.5, 0.0]]])
    loss, _ = algorithm.critic_loss(nets, batch, noise)
    assert float(loss) == pytest.approx(((1 + 0.5 * 0.75 * math.log(3)) ** 2 + 1) / 2)


def _shares(**settings: Any) -> list[NDArray[np.float64]]:
    """Of the poor mode's and of the good mode's actions in those of a trained policy, by seed."""
    engine = make_engine(
        "qipo",
        two_modes(),
        offline_steps=80,
        hidden_dims=(32, 32),
        batch_size=64,
        learning_rate=2e-2,
        flow_steps=3,
        behavior_share=0.4,
        support_actions=3,
        **settings,
    )
    engine.train(80)
    return [share_near(mode, engine, 0.5) for mode in (POOR, GOOD)]


def test_without_a_temperature_it_keeps_both_modes_and_with_one_iterations_leave_the_poor() -> None:
    poor, good = _shares(beta=0.0, iterations=1)
    assert (poor > 0.3 * good).all()
    assert (poor > 0.08).all()
    poor, good = _shares(beta=3.0, iterations=2)
    assert (poor < 0.03).all()
    assert (good > 0.7).all()
