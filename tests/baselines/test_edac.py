"""SAC-N and EDAC against arXiv:2110.01548 in plain PyTorch, by hand, and where data end."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

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
    record,
)
from tests.algorithms.small import ACTION_DIM, make_engine
from tests.baselines.actors import Squashed
from tests.baselines.bandit import rising

N = 3


def smallest(critic: nn.ModuleList, s: Tensor, a: Tensor) -> Tensor:
    return q_values(critic, s, a).min(0).values


def likeness(critic: nn.ModuleList, s: Tensor, a: Tensor) -> Tensor:
    slopes = []
    for member in critic:
        at = a.clone().requires_grad_()
        q = member(torch.cat([s, at], 1)).sum()
        slopes.append(torch.autograd.grad(q, at, create_graph=True)[0])
    pairs = itertools.permutations(slopes, 2)
    cosines = [F.cosine_similarity(one, other, dim=1) for one, other in pairs]
    return torch.stack(cosines).sum(0).mean() / (len(slopes) - 1)


@pytest.mark.parametrize(("algorithm_id", "eta"), [("sac-n", 0.0), ("edac", 0.7)])
def test_training_equals_plain_pytorch(
    transitions: Transitions, algorithm_id: str, eta: float
) -> None:
    """Temperature, then policy, then critics, each with what the steps before it changed."""
    own = {"eta": eta} if eta else {}
    settings = {"learning_rate": 1e-2, "tau": 0.05, "discount": 0.9, "critics": N, **own}
    engine = make_engine(algorithm_id, transitions, **settings)
    starts = [(Squashed(engine, slot), learned(engine, "critic", slot)) for slot in (0, 1)]
    seen = record(engine)
    engine.train(6)
    for slot, (actor, critic) in enumerate(starts):
        target, log_alpha = copy.deepcopy(critic), torch.zeros((), requires_grad=True)
        trained = (actor.parameters(), critic.parameters(), [log_alpha])
        actor_adam, critic_adam, alpha_adam = (torch.optim.Adam(p, lr=1e-2) for p in trained)
        for batch, noise in of_seed(seen, slot):
            s, following = batch.observations, batch.next_observations
            with torch.no_grad():
                _, log_prob = actor(s, noise["temperature_gaussian"])
            alpha_adam.zero_grad()
            (-log_alpha * (log_prob - ACTION_DIM)).mean().backward()
            alpha_adam.step()
            alpha = log_alpha.exp().detach()

            action, log_prob = actor(s, noise["gaussian"])
            actor_adam.zero_grad()
            (alpha * log_prob - smallest(critic, s, action)).mean().backward()
            actor_adam.step()

            with torch.no_grad():
                action, log_prob = actor(following, noise["next_gaussian"])
                soft = smallest(target, following, action) - alpha * log_prob
                backup = batch.rewards + 0.9 * batch.masks * soft
            pair = torch.cat([s, batch.actions], 1)
            loss = sum(F.mse_loss(member(pair)[:, 0], backup) for member in critic)
            critic_adam.zero_grad()
            (loss + eta * likeness(critic, s, batch.actions)).backward()
            critic_adam.step()
            polyak(target, critic, 0.05)
        assert_same_weights(learned(engine, "critic", slot), critic)
        assert_same_weights(learned(engine, "critic", slot, "targets"), target)
        assert_same_weights(Squashed(engine, slot), actor)
        found = engine.state(slot)["params/temperature/log"]
        assert found == pytest.approx(log_alpha.item(), abs=2e-6)


def turned(*degrees: float) -> Tensor:
    """Unit vectors in the plane."""
    return torch.tensor([[math.cos(math.radians(x)), math.sin(math.radians(x))] for x in degrees])


@pytest.mark.parametrize(
    ("directions", "expected"),
    [
        (turned(20, 20, 20), 3.0),  # all alike: N (N − 1) cosines of 1, over N − 1
        (turned(0, 120, 240), -1.5),  # as far apart as they go: −1/2 each
        (turned(0, 90, 180), -1.0),  # 0, −1 and 0, twice each, over 2
        (torch.tensor([1.0, 20.0, 0.3]).view(3, 1) * turned(0, 90, 180), -1.0),  # of any length
        (torch.tensor([1.0, 1.0, 0.0]).view(3, 1) * turned(0, 0, 0), 1.0),  # one is flat
    ],
)
def test_likeness_is_the_sum_of_cosines_between_gradients(
    directions: Tensor, expected: float
) -> None:
    """Critics that are linear in the action."""
    nets = closed_form({"critic": lambda _s, a: torch.einsum("snbd,nd->snb", a, directions)})
    found = make_algorithm("edac", critics=3).likeness(nets, random_batch(1, 5))
    assert float(found) == pytest.approx(expected, abs=1e-5)


def test_networks_start_as_corl_s(transitions: Transitions) -> None:
    """Biases 0.1 but for the last layers, which are within 0.003 and, of the policy, 0.001."""
    engine = make_engine("edac", transitions, critics=N)
    for network, bound in (
        ([Squashed(engine, 0).mlp], 1e-3),
        (learned(engine, "critic", 0), 3e-3),
    ):
        for member in network:
            *hidden, last = (layer for layer in member if isinstance(layer, nn.Linear))
            assert all((layer.bias == 0.1).all() for layer in hidden)
            largest = last.weight.abs().max().item()
            assert 0.6 * bound < largest <= bound
            assert 0 < last.bias.abs().max().item() <= bound


FAST = {"learning_rate": 5e-3, "hidden_dims": (32, 32)}


@pytest.mark.slow
def test_sac_n_learns_the_best_action_of_each_observation(transitions: Transitions) -> None:
    """Which are the data's, nearly; untrained, it errs by their variance."""
    engine = make_engine("sac-n", transitions, offline_steps=1000, **FAST)
    engine.train(1000)
    actions = engine.policy("test")(np.stack([transitions.observations] * 2))
    errors = np.square(actions - transitions.actions).mean((1, 2))
    assert errors.max() < 0.3 * transitions.actions.var(0).mean()


def test_critics_kept_apart_stop_where_the_data_end_as_others_do_not() -> None:
    far, alike = {}, {}
    for eta in (0.0, 1.0):
        engine = make_engine("edac", rising(), offline_steps=300, eta=eta, **FAST)
        engine.train(300)
        far[eta] = engine.policy("test")(np.zeros((2, 1, 1), np.float32))
        alike[eta] = engine.metrics()["critic/likeness"]
    assert far[0.0].min() > 0.7
    assert 0.35 < far[1.0].min() < far[1.0].max() < 0.65
    assert alike[1.0].max() < 0 < 5 < alike[0.0].min()
