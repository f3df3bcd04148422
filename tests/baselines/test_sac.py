"""SAC against the official code's equations in plain PyTorch, by hand, and on known optima."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from algorithms.blocks.squashed_gaussian import squashed_sample
from algorithms.transitions import Transitions
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
from tests.baselines.actors import Squashed


class Official(Squashed):
    """Its σ is softplus(output) + 1e-5."""

    def deviation(self, output: Tensor) -> Tensor:
        return F.softplus(output) + 1e-5


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    """Critics, policy, temperature, each after the other; densities are torch.distributions'."""
    settings = {"learning_rate": 1e-2, "tau": 0.05, "discount": 0.9}
    engine = make_engine("sac", transitions, **settings)
    starts = [(Official(engine, slot), learned(engine, "critic", slot)) for slot in (0, 1)]
    seen = record(engine)
    engine.train(6)
    for slot, (actor, critic) in enumerate(starts):
        target, log_alpha = copy.deepcopy(critic), torch.zeros((), requires_grad=True)
        trained = (actor.parameters(), critic.parameters(), [log_alpha])
        actor_adam, critic_adam, alpha_adam = (torch.optim.Adam(p, lr=1e-2) for p in trained)
        for batch, noise in of_seed(seen, slot):
            with torch.no_grad():
                action, log_prob = actor(batch.next_observations, noise["next_gaussian"])
                pair = torch.cat([batch.next_observations, action], 1)
                q = torch.minimum(*(member(pair) for member in target))[:, 0]
                soft = q - log_alpha.exp() * log_prob
                backup = batch.rewards + 0.9 * batch.masks * soft
            pair = torch.cat([batch.observations, batch.actions], 1)
            critic_adam.zero_grad()
            sum(F.mse_loss(member(pair)[:, 0], backup) for member in critic).backward()
            critic_adam.step()
            polyak(target, critic, 0.05)
            action, log_prob = actor(batch.observations, noise["gaussian"])
            pair = torch.cat([batch.observations, action], 1)
            q = sum(member(pair)[:, 0] for member in critic) / 2
            actor_adam.zero_grad()
            (log_alpha.exp().detach() * log_prob - q).mean().backward()
            actor_adam.step()
            with torch.no_grad():
                _, log_prob = actor(batch.observations, noise["temperature_gaussian"])
            alpha_adam.zero_grad()
            (-log_alpha.exp() * (log_prob - ACTION_DIM)).mean().backward()
            alpha_adam.step()
        assert_same_weights(learned(engine, "critic", slot), critic)
        assert_same_weights(learned(engine, "critic", slot, "targets"), target)
        assert_same_weights(Official(engine, slot), actor)
        found = engine.state(slot)["params/temperature/log"]
        assert found == pytest.approx(log_alpha.item(), abs=2e-6)


def test_the_density_of_a_squashed_action_by_hand() -> None:
    """u = 0.5 of N(0.3, 0.4²): log N − log(1 − tanh² u); and far out, where 1 − tanh² u is 0."""
    mean, log_std = torch.tensor([[[0.3]]]), torch.tensor([[[math.log(0.4)]]])
    action, log_prob = squashed_sample(mean, log_std, torch.tensor([[[0.5]]]))
    normal = -0.5 * 0.5**2 - math.log(0.4) - 0.5 * math.log(2 * math.pi)
    assert float(action) == pytest.approx(math.tanh(0.5))
    assert float(log_prob) == pytest.approx(normal - math.log(1 - math.tanh(0.5) ** 2), rel=1e-5)
    _, far = squashed_sample(mean + 30, log_std, torch.tensor([[[0.5]]]))
    # log(1 − tanh² u) → log 4 − 2 u
    assert float(far) == pytest.approx(normal - (math.log(4) - 2 * 30.5), rel=1e-5)


def test_the_backup_pays_for_entropy_and_stops_at_terminals() -> None:
    """r + γ (min(3, 2) − α log π) with α = e^0.5, by hand; r alone behind a terminal."""
    batch = random_batch(1, 2)._replace(
        rewards=torch.tensor([[1.0, 1.0]]), masks=torch.tensor([[1.0, 0.0]])
    )
    zeros = torch.zeros(1, 2, ACTION_DIM)
    nets = closed_form(
        {
            "critic": lambda *_: torch.zeros(1, 2, 2),
            "actor": lambda _: (zeros, zeros),
            "temperature": lambda: torch.tensor([0.5]),
        },
        target={"critic": lambda *_: torch.tensor([[[3.0, 3.0], [2.0, 2.0]]])},
    )
    loss, _ = make_algorithm("sac", discount=0.5).critic_loss(nets, batch, {"next_gaussian": zeros})
    log_prob = ACTION_DIM * -0.5 * math.log(2 * math.pi)  # u = 0, where tanh has slope 1
    first = 1 + 0.5 * (2 - math.exp(0.5) * log_prob)
    assert float(loss) == pytest.approx(2 * (first**2 + 1) / 2, rel=1e-5)


def test_the_policy_climbs_the_twins_mean_less_its_log_density() -> None:
    """α log π − (1 + 4) / 2 with α = e^0.5, by hand; the slope through π alone."""
    zeros = torch.zeros(1, 4, ACTION_DIM)
    shift = torch.tensor(0.0, requires_grad=True)
    twins = torch.tensor([1.0, 4.0]).view(1, 2, 1)
    nets = closed_form(
        {
            "critic": lambda _s, a: twins * (1 + a.sum(-1)).unsqueeze(1),
            "actor": lambda _: (zeros + shift, zeros),
            "temperature": lambda: torch.tensor([0.5]),
        }
    )
    batch = random_batch(1, 4)
    loss, _ = make_algorithm("sac").actor_loss(nets, batch, {"gaussian": zeros})
    loss.sum().backward()
    log_prob = ACTION_DIM * -0.5 * math.log(2 * math.pi)  # u = 0, where tanh has slope 1
    assert loss.item() == pytest.approx(math.exp(0.5) * log_prob - 2.5, rel=1e-5)
    assert float(shift.grad) == pytest.approx(-2.5 * ACTION_DIM, rel=1e-5)


@pytest.mark.parametrize(("target", "wanted"), [(None, -ACTION_DIM), (0.7, 0.7)])
def test_the_temperature_rises_where_entropy_is_below_its_target(
    target: float | None, wanted: float
) -> None:
    """Entropy −E log π = 1.838 by hand; d loss / d log α = α (entropy − target)."""
    zeros = torch.zeros(1, 4, ACTION_DIM)
    log_alpha = torch.tensor([0.5], requires_grad=True)
    nets = closed_form({"actor": lambda _: (zeros, zeros), "temperature": lambda: log_alpha})
    algorithm = make_algorithm("sac", target_entropy=target)
    noise = {"temperature_gaussian": zeros}
    loss, metrics = algorithm.temperature_loss(nets, random_batch(1, 4), noise)
    loss.sum().backward()
    entropy = ACTION_DIM * 0.5 * math.log(2 * math.pi)
    assert float(metrics["actor/entropy"]) == pytest.approx(entropy, rel=1e-5)
    assert float(metrics["actor/temperature"].detach()) == pytest.approx(math.exp(0.5))
    assert loss.item() == pytest.approx(math.exp(0.5) * (entropy - wanted), rel=1e-5)
    assert float(log_alpha.grad) == pytest.approx(loss.item(), rel=1e-5)


def test_networks_begin_as_glorot_has_it(transitions: Transitions) -> None:
    """Within ±√(6 / (fan_in + fan_out)), spread as a uniform variable's; biases are zero."""
    state = make_engine("sac", transitions, hidden_dims=(64, 64)).state(0)
    for name, fans in {
        "actor/weight_1": (64, 64),
        "actor/weight_2": (64, 2 * ACTION_DIM),
        "critic/weight_0": (OBS_DIM + ACTION_DIM, 64),
    }.items():
        bound, weight = math.sqrt(6 / sum(fans)), state[f"params/{name}"]
        assert weight.shape[-2:] == fans
        assert 0.95 * bound < np.abs(weight).max() <= bound
        assert weight.std() == pytest.approx(bound / math.sqrt(3), rel=0.1)
    biases = [
        value for name, value in state.items() if name.startswith("params/") and "bias" in name
    ]
    assert len(biases) == 6
    assert not any(map(np.any, biases))


def test_acts_by_the_tanh_of_its_gaussian() -> None:
    mean, noise = torch.randn(1, 4, ACTION_DIM), torch.randn(1, 4, ACTION_DIM)
    nets = closed_form({"actor": lambda _: (mean, torch.full_like(mean, math.log(0.5)))})
    algorithm, observations = make_algorithm("sac"), torch.zeros(1, 4, OBS_DIM)
    assert torch.equal(algorithm.act(nets, observations, {"gaussian": 0 * noise}), mean.tanh())
    actions = algorithm.act(nets, observations, {"gaussian": noise})
    torch.testing.assert_close(actions, torch.tanh(mean + 0.5 * noise))


GOAL, STEEPNESS, TARGET = 0.4, 8.0, -0.5


def tried(actions: np.ndarray) -> Transitions:
    """Episodes of one step that pay −c (a − a*)², one a row of `actions` [N]."""
    n = len(actions)
    nothing = np.zeros((n, 1))
    return Transitions.pack(
        observations=nothing,
        actions=actions[:, None],
        rewards=-STEEPNESS * (actions - GOAL) ** 2,
        next_observations=nothing,
        terminals=np.ones(n),
        timeouts=np.zeros(n),
    )


def test_online_it_finds_the_maximum_entropy_optimum() -> None:
    """π ∝ exp(−c (a − a*)² / α) is N(a*, α / 2c), whose entropy is H̄ at α = 2c exp(2 H̄) / 2πe.

    With H̄ = −0.5 that is a standard deviation of 0.147, far from the action's limits.
    """
    rng = np.random.default_rng(0)
    engine = make_engine(
        "sac",
        tried(rng.uniform(-1, 1, 64)),
        (0, 1),
        offline_steps=0,
        online_steps=450,
        learning_rate=0.02,
        tau=0.05,
        batch_size=64,
        hidden_dims=(32, 32),
        target_entropy=TARGET,
    )
    nowhere = np.zeros((2, 400, 1), np.float32)
    before = engine.policy("before", "noise-1")(nowhere)
    for _ in range(450):
        actions = engine.policy(f"online/{engine.step}", "noise-1")(nowhere[:, :4])[:, 0, 0]
        engine.add(tried(actions))
        engine.train(1)
    after = engine.policy("after", "noise-1")(nowhere)
    deviation = math.exp(TARGET) / math.sqrt(2 * math.pi * math.e)
    # At zero, with biases of zero, σ is log 2; the tanh of N(0, log² 2) has a deviation of 0.515.
    np.testing.assert_allclose(before.std((1, 2)), 0.515, atol=0.05)
    np.testing.assert_allclose(after.mean((1, 2)), GOAL, atol=0.06)
    np.testing.assert_allclose(after.std((1, 2)), deviation, rtol=0.2)
    alphas = [engine.state(slot)["params/temperature/log"] for slot in (0, 1)]
    np.testing.assert_allclose(np.exp(alphas)[:, 0], 2 * STEEPNESS * deviation**2, rtol=0.15)
    assert engine.seen(1).actions[-100:].mean() == pytest.approx(GOAL, abs=0.1)
