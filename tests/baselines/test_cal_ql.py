"""Cal-QL against its equations (arXiv:2303.05479) in plain PyTorch, by hand, and going online."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F  # noqa: N812

from algorithms.engine.engine import Engine
from algorithms.engine.preflight import check
from algorithms.transitions import Transitions
from baselines.cal_ql import CalQL, CalQLConfig
from baselines.cql import CQL
from tests.algorithms.reference import (
    assert_same_weights,
    learned,
    make_algorithm,
    of_seed,
    polyak,
    random_batch,
    record,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.baselines.test_cql import SAMPLES, Actor, at_the_mode, flat


@pytest.mark.parametrize("max_backup", [False, True])
def test_training_equals_plain_pytorch(transitions: Transitions, max_backup: bool) -> None:
    """CQL with values of the policy's actions that are no lower than the return to go."""
    settings = {"learning_rate": 1e-2, "policy_learning_rate": 5e-3, "tau": 0.05, "discount": 0.9}
    engine = make_engine(
        "cal-ql", transitions, alpha=2.0, samples=SAMPLES, max_backup=max_backup, **settings
    )
    starts = [(Actor(engine, slot), learned(engine, "critic", slot)) for slot in (0, 1)]
    seen = record(engine)
    engine.train(4)
    for slot, (actor, critic) in enumerate(starts):
        target = copy.deepcopy(critic)
        log_alpha = torch.tensor(0.0, requires_grad=True)
        policy_parameters = [*actor.parameters(), log_alpha]
        policy_adam = torch.optim.Adam(policy_parameters, lr=5e-3)
        critic_adam = torch.optim.Adam(critic.parameters(), lr=1e-2)
        for batch, noise in of_seed(seen, slot):
            s, following = batch.observations, batch.next_observations
            action, log_prob = actor(s, noise["gaussian"])
            q = torch.minimum(*(member(torch.cat([s, action], 1)) for member in critic))[:, 0]
            policy_loss = (log_alpha.exp().detach() * log_prob - q).mean()
            policy_loss = policy_loss - (log_alpha * (log_prob.detach() - ACTION_DIM)).mean()
            policy_gradients = torch.autograd.grad(policy_loss, policy_parameters)
            with torch.no_grad():
                following_q = []
                for part in noise["next_gaussian"].split(ACTION_DIM, 1):
                    pair = torch.cat([following, actor(following, part)[0]], 1)
                    following_q.append(torch.minimum(*(member(pair)[:, 0] for member in target)))
                assert len(following_q) == (SAMPLES if max_backup else 1)
                best = torch.stack(following_q).max(0).values
                backup = batch.rewards + 0.9 * batch.masks * best
            critic_loss = torch.tensor(0.0)
            for member in critic:
                q = member(torch.cat([s, batch.actions], 1))[:, 0]
                exponentials = torch.zeros_like(q)
                for i in range(SAMPLES):
                    own = slice(i * ACTION_DIM, (i + 1) * ACTION_DIM)
                    uniform = 2 * noise["uniform"][:, own] - 1
                    value = member(torch.cat([s, uniform], 1))[:, 0]
                    exponentials = exponentials + value.exp() * 2**ACTION_DIM
                    for origin, kind in ((s, "current"), (following, "following")):
                        with torch.no_grad():
                            a, density = actor(origin, noise[kind][:, own])
                        value = member(torch.cat([s, a], 1))[:, 0].max(batch.returns)
                        exponentials = exponentials + value.exp() / density.exp()
                critic_loss = critic_loss + F.mse_loss(q, backup)
                critic_loss = critic_loss + 2 * (exponentials.log() - q).mean()
            for parameter, gradient in zip(policy_parameters, policy_gradients, strict=True):
                parameter.grad = gradient
            critic_adam.zero_grad()
            critic_loss.backward()
            policy_adam.step()
            critic_adam.step()
            polyak(target, critic, 0.05)
        assert_same_weights(learned(engine, "critic", slot), critic)
        assert_same_weights(learned(engine, "critic", slot, "targets"), target)
        assert_same_weights(Actor(engine, slot), actor)


def test_the_bound_by_hand() -> None:
    """Q = 3 and −2 everywhere, returns 1: the second twin's values of π's actions count as 1."""
    batch = random_batch(1, 4)._replace(returns=torch.ones(1, 4))
    algorithm = make_algorithm("cal-ql", samples=SAMPLES)
    found = algorithm.soft_maximum(flat((3.0, -2.0)), batch, at_the_mode())
    uniform, mode = SAMPLES * 2**ACTION_DIM, 2 * SAMPLES * (2 * math.pi) ** (ACTION_DIM / 2)
    expected = [
        math.log(uniform * math.exp(q) + mode * math.exp(bounded))
        for q, bounded in ((3.0, 3.0), (-2.0, 1.0))
    ]
    torch.testing.assert_close(found, torch.tensor(expected).view(1, 2, 1).expand(1, 2, 4))


def test_networks_start_as_the_official_ones_and_critics_have_widths_of_their_own(
    transitions: Transitions,
) -> None:
    """Orthogonal, √2 and at last 0.01, biases 0."""
    engine = make_engine("cal-ql", transitions, critic_hidden_dims=(8, 8, 8))
    for mlp, hidden in [(Actor(engine, 0).mlp, 2), *((c, 3) for c in learned(engine, "critic", 1))]:
        layers = [layer for layer in mlp if isinstance(layer, nn.Linear)]
        assert len(layers) == hidden + 1
        assert not any(layer.bias.any() for layer in layers)
        for layer, gain in ((layers[1], 2.0), (layers[-1], 1e-4)):
            weight = layer.weight.detach()
            torch.testing.assert_close(weight @ weight.T, gain * torch.eye(len(weight)))


LENGTH, DISCOUNT = 10, 0.9


def reward(actions: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """At most 1, for an action of 0.5. [..., 1] -> [...]."""
    return 1 - np.abs(actions[..., 0] - 0.5)


def steps(actions: NDArray[np.floating[Any]], cut: NDArray[np.bool_]) -> Transitions:
    """Of a task that goes on for ever and has no observation, in episodes that are cut."""
    nothing = np.zeros((len(actions), 1))
    return Transitions.pack(
        observations=nothing,
        actions=actions,
        rewards=reward(actions),
        next_observations=nothing,
        terminals=np.zeros(len(actions), bool),
        timeouts=cut,
    )


def around_the_best(n: int = 600) -> Transitions:
    """Actions 0.5 ± 0.3: a mean reward of about 0.76."""
    noise = np.random.default_rng(0).standard_normal((n, 1))
    return steps(np.clip(0.5 + 0.3 * noise, -1, 1), np.arange(n) % LENGTH == LENGTH - 1)


def level(engine: Engine) -> NDArray[np.float64]:
    """The mean action value in units of the data's mean return. [S]."""
    worth = around_the_best().rewards.mean() / (1 - DISCOUNT)
    return np.asarray(engine.metrics()["critic/mean"] / worth, np.float64)


def score(engine: Engine) -> NDArray[np.floating[Any]]:
    """The reward of the policy's mean. [S]."""
    return reward(engine.policy("test")(np.zeros((2, 1, 1), np.float32))[:, 0])


def pretrained() -> Engine:
    settings = {"learning_rate": 3e-3, "policy_learning_rate": 3e-3, "tau": 0.05, "samples": 4}
    engine = make_engine(
        "cal-ql",
        around_the_best(),
        offline_steps=200,
        online_steps=60,
        discount=DISCOUNT,
        max_backup=False,
        **settings,
    )
    engine.train(200)
    return engine


def test_does_not_collapse_when_it_goes_online() -> None:
    """Its values are of the size of returns from the start, so they and the policy can stay."""
    engine = pretrained()
    before, scores = level(engine), [score(engine)]
    for step in range(60):
        policy = engine.policy(f"online/{step}", "noise-1")
        actions = policy(np.zeros((2, 1, 1), np.float32))[:, 0]
        engine.add(steps(actions, np.full(2, step % LENGTH == LENGTH - 1)))
        engine.train(1)
        scores.append(score(engine))
    assert np.min(scores) > 0.85
    assert (np.abs(level(engine) - before) < 0.1).all()
    assert before.min() > 0.9


def test_without_the_bound_values_fall_far_below_what_the_data_earned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(CalQL, "policy_values", CQL.policy_values)
    assert level(pretrained()).max() < 0.6


def test_the_preflight_has_no_remarks() -> None:
    assert check(CalQL, CalQLConfig(), OBS_DIM, ACTION_DIM, online=True) == []
