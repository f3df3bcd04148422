"""IQL against the equations of arXiv:2110.06169 in plain PyTorch, and by hand."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from algorithms.base import Networks
from algorithms.transitions import Transitions
from baselines.iql import IQLConfig
from tests.algorithms.reference import (
    assert_same_weights,
    closed_form,
    learned,
    make_algorithm,
    of_seed,
    polyak,
    random_batch,
    random_params,
    record,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.baselines.actors import Gaussian


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    """All losses on the networks before the update (a documented deviation), then three Adams."""
    updates = 8
    engine = make_engine(
        "iql",
        transitions,
        offline_steps=updates,
        learning_rate=1e-2,
        tau=0.05,
        discount=0.9,
        expectile=0.8,
        temperature=2.0,
    )
    starts = [
        (
            Gaussian(engine, slot),
            learned(engine, "critic", slot),
            learned(engine, "value", slot),
        )
        for slot in (0, 1)
    ]
    seen = record(engine)
    engine.train(updates)
    for slot, (actor, critic, value) in enumerate(starts):
        target_critic = copy.deepcopy(critic)
        adams = [torch.optim.Adam(net.parameters(), lr=1e-2) for net in (actor, critic, value)]
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adams[0], updates)
        for batch, _ in of_seed(seen, slot):
            pair = torch.cat([batch.observations, batch.actions], 1)
            with torch.no_grad():
                q = torch.minimum(*(member(pair) for member in target_critic))[:, 0]
                next_v = value[0](batch.next_observations)[:, 0]
                backup = batch.rewards + 0.9 * batch.masks * next_v
            v = value[0](batch.observations)[:, 0]
            u = q - v
            v_loss = (torch.where(u < 0, 0.2, 0.8) * u**2).mean()
            q_loss = sum(nn.functional.mse_loss(member(pair)[:, 0], backup) for member in critic)
            weight = torch.exp(2.0 * u.detach()).clip(max=100)
            pi_loss = -(weight * actor(batch.observations).log_prob(batch.actions)).mean()
            for adam in adams:
                adam.zero_grad()
            (v_loss + q_loss + pi_loss).backward()
            for adam in adams:
                adam.step()
            cosine.step()
            polyak(target_critic, critic, 0.05)
        assert_same_weights(learned(engine, "critic", slot), critic)
        assert_same_weights(learned(engine, "critic", slot, "targets"), target_critic)
        assert_same_weights(learned(engine, "value", slot), value)
        assert_same_weights(Gaussian(engine, slot), actor)


def test_the_actor_loss_by_hand_with_its_weights_bounded() -> None:
    """A = 0.5 weighs exp(3 * 0.5); A = 10 weighs 100 and no more."""
    batch = random_batch(1, 2)
    mean, log_std = batch.actions - 0.3, torch.full((1, 2, 2), math.log(0.5))
    nets = closed_form({"actor": lambda _: (mean, log_std)})
    loss = make_algorithm("iql").actor_loss(nets, batch, {}, torch.tensor([[0.5, 10.0]]))
    log_prob = 2 * (-0.5 * (0.3 / 0.5) ** 2 - math.log(0.5) - 0.5 * math.log(2 * math.pi))
    assert float(loss) == pytest.approx(-(math.exp(1.5) + 100) / 2 * log_prob, rel=1e-5)


def test_acts_with_the_gaussian_whose_mean_is_left_without_noise() -> None:
    mean, noise = torch.rand(1, 4, ACTION_DIM), torch.randn(1, 4, ACTION_DIM)
    nets = closed_form({"actor": lambda _: (mean, torch.full_like(mean, math.log(0.5)))})
    algorithm, observations = make_algorithm("iql"), torch.zeros(1, 4, OBS_DIM)
    assert torch.equal(algorithm.act(nets, observations, {"gaussian": 0 * noise}), mean)
    actions = algorithm.act(nets, observations, {"gaussian": noise})
    torch.testing.assert_close(actions, mean + 0.5 * noise)


def test_dropout_acts_on_the_actor_s_hidden_units_in_training_alone(
    transitions: Transitions,
) -> None:
    """With half of them dropped, the loss is another for another key; acting has no key."""
    algorithm = make_algorithm("iql", dropout=0.5)
    networks = {name: random_params(algorithm.networks, 1)[name] for name in algorithm.networks}
    nets = Networks(algorithm.networks, networks, networks, networks)
    batch, advantage = random_batch(1, 64), torch.zeros(1, 64)
    losses = [
        float(algorithm.actor_loss(nets, batch, {"dropout": torch.tensor([key])}, advantage))
        for key in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]
    engine = make_engine("iql", transitions, dropout=0.5)
    engine.train(4)
    assert np.isfinite(engine.metrics()["actor/loss"]).all()


def test_no_dropout_leaves_no_trace_in_what_is_hashed() -> None:
    assert "dropout" not in IQLConfig().model_dump()
    assert IQLConfig(dropout=0.1).model_dump()["dropout"] == 0.1
