"""ReBRAC against the equations of arXiv:2305.09836 in plain PyTorch, and by hand."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F  # noqa: N812

from algorithms.engine.preflight import check
from algorithms.transitions import Transitions
from baselines.rebrac import ReBRAC, ReBRACConfig
from tests.algorithms.reference import (
    assert_same_weights,
    closed_form,
    learned,
    make_algorithm,
    of_seed,
    polyak,
    random_batch,
    record,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.baselines.bandit import BEST, hill


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    """Seven updates, so the delayed actor and both targets move three times."""
    engine = make_engine(
        "rebrac",
        transitions,
        actor_learning_rate=1e-2,
        critic_learning_rate=3e-3,
        tau=0.05,
        discount=0.9,
        actor_penalty=0.3,
        critic_penalty=0.7,
    )
    starts = [{n: learned(engine, n, slot) for n in ("actor", "critic")} for slot in (0, 1)]
    seen = record(engine)
    engine.train(7)
    for slot, start in enumerate(starts):
        (actor,), critics = start["actor"], start["critic"]
        old_actor, old_critics = copy.deepcopy(actor), copy.deepcopy(critics)
        actor_adam = torch.optim.Adam(actor.parameters(), lr=1e-2)
        critic_adam = torch.optim.Adam(critics.parameters(), lr=3e-3)
        for i, (batch, noise) in enumerate(of_seed(seen, slot)):
            s, a, following = batch.observations, batch.actions, batch.next_observations
            with torch.no_grad():
                smoothing = torch.clip(0.2 * noise["smoothing"], -0.5, 0.5)
                a_next = torch.clip(torch.tanh(old_actor(following)) + smoothing, -1, 1)
                pair = torch.cat([following, a_next], 1)
                q_next = torch.minimum(*(q(pair)[:, 0] for q in old_critics))
                apart = torch.linalg.vector_norm(a_next - batch.next_actions, dim=1) ** 2
                q_next = torch.where(batch.has_next > 0, q_next - 0.7 * apart, q_next)
                target = batch.rewards + 0.9 * batch.masks * q_next
            pair = torch.cat([s, a], 1)
            loss = sum(F.mse_loss(q(pair)[:, 0], target) for q in critics)
            critic_adam.zero_grad()
            loss.backward()
            critic_adam.step()
            if i % 2 == 0:
                continue
            pi = torch.tanh(actor(s))
            pair = torch.cat([s, pi], 1)
            q = torch.minimum(*(q(pair)[:, 0] for q in critics))
            cloning = torch.linalg.vector_norm(pi - a, dim=1) ** 2
            actor_adam.zero_grad()
            (0.3 * cloning - q / q.abs().mean().detach()).mean().backward()
            actor_adam.step()
            polyak(old_actor, actor, 0.05)
            polyak(old_critics, critics, 0.05)
        for name, group, expected in (
            ("actor", "params", nn.ModuleList([actor])),
            ("critic", "params", critics),
            ("actor", "targets", nn.ModuleList([old_actor])),
            ("critic", "targets", old_critics),
        ):
            assert_same_weights(learned(engine, name, slot, group), expected)


@pytest.mark.parametrize(
    ("has_next", "mask", "next_value"),
    [
        (1.0, 1.0, 2 - 0.5 * (1.0**2 + 0.1**2)),
        (0.0, 1.0, 2.0),  # a time limit: it goes on, and nobody knows how
        (0.0, 0.0, 0.0),  # a terminal
    ],
)
def test_a_backup_pays_for_the_distance_to_the_next_action_of_the_data(
    has_next: float, mask: float, next_value: float
) -> None:
    """a' = (0.8 + 0.5 clipped to 1, -0.3 + 0.5), the noise bounded, and the data's (0, 0.1)."""
    batch = random_batch(1, 1)._replace(
        rewards=torch.ones(1, 1),
        masks=torch.full((1, 1), mask),
        has_next=torch.full((1, 1), has_next),
        next_actions=has_next * torch.tensor([[[0.0, 0.1]]]),
    )
    nets = closed_form(
        {"critic": lambda *_: torch.zeros(1, 2, 1)},
        target={
            "actor": lambda _: torch.atanh(torch.tensor([[[0.8, -0.3]]])),
            "critic": lambda *_: torch.tensor([[[3.0], [2.0]]]),
        },
    )
    algorithm = make_algorithm("rebrac", discount=0.8, critic_penalty=0.5)
    noise = {"smoothing": torch.full((1, 1, 2), 100.0)}
    loss, _ = algorithm.critic_loss(nets, batch, noise)
    assert float(loss) == pytest.approx(2 * (1 + 0.8 * next_value) ** 2, rel=1e-5)


def test_the_actor_climbs_the_smaller_critic_in_units_of_its_mean_size() -> None:
    """The smaller twin is (0.4, -0.2) over two states: the Q term is -0.1 / 0.3."""
    batch = random_batch(1, 2)
    actions = torch.tensor([[[0.4, 0.0], [-0.2, 0.0]]])
    nets = closed_form(
        {
            "actor": lambda _: torch.atanh(actions),
            "critic": lambda _s, a: torch.stack([a[..., 0] + 5, a[..., 0]], 1),
        }
    )
    loss, metrics = make_algorithm("rebrac", actor_penalty=0.3).actor_loss(nets, batch, {})
    cloning = 0.3 * float((actions - batch.actions).square().sum()) / 2
    assert float(metrics["actor/q_loss"]) == pytest.approx(-0.1 / 0.3, rel=1e-5)
    assert float(loss) == pytest.approx(-0.1 / 0.3 + cloning, rel=1e-5)


def test_the_size_of_q_carries_no_gradient() -> None:
    """Q(a) = a: were it differentiated, the Q term's gradient would vanish for a single state."""
    batch = random_batch(1, 1)
    x = torch.full((1, 1, 2), 0.3, requires_grad=True)
    critic = {"critic": lambda _s, a: torch.stack([a[..., 0], a[..., 0] + 1], 1)}
    nets = closed_form({"actor": lambda _: x, **critic})
    _, metrics = make_algorithm("rebrac").actor_loss(nets, batch, {})
    metrics["actor/q_loss"].sum().backward()
    tanh = torch.tanh(torch.tensor(0.3))
    assert float(x.grad[0, 0, 0]) == pytest.approx(float(-(1 - tanh**2) / tanh), rel=1e-5)


@pytest.mark.parametrize(("name", "inputs", "last"), [("actor", 3, 1e-3), ("critic", 5, 3e-3)])
def test_starts_with_small_outputs_and_hidden_units_that_are_active(
    name: str, inputs: int, last: float
) -> None:
    algorithm = ReBRAC(ReBRACConfig(), OBS_DIM, ACTION_DIM)
    params = algorithm.networks[name].init(torch.Generator().manual_seed(0))
    for i, fan_in in enumerate([inputs, 256, 256]):
        assert (params[f"bias_{i}"] == 0.1).all()
        assert float(params[f"weight_{i}"].abs().max()) == pytest.approx(fan_in**-0.5, rel=0.01)
    for part in ("weight", "bias"):
        assert params[f"{part}_3"].abs().max() <= last
    assert float(params["weight_3"].abs().max()) == pytest.approx(last, rel=0.05)
    assert ("scale_2" in params) == (name == "critic")


@pytest.mark.parametrize(("penalty", "action"), [(0.01, BEST), (10.0, np.zeros(2))])
def test_acts_better_than_the_data_or_as_they_do_by_the_weight_of_cloning(
    penalty: float, action: NDArray[np.float64]
) -> None:
    engine = make_engine(
        "rebrac",
        hill(),
        offline_steps=300,
        actor_learning_rate=1e-2,
        critic_learning_rate=1e-2,
        actor_penalty=penalty,
    )
    engine.train(300)
    actions = engine.policy("test")(np.zeros((2, 1, 1), np.float32))
    assert np.linalg.norm(actions - action, axis=-1).max() < 0.2


def test_the_preflight_has_no_remarks() -> None:
    assert check(ReBRAC, ReBRACConfig(), OBS_DIM, ACTION_DIM) == []
