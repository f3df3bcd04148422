"""IDQL against the equations of arXiv:2304.10573 in plain PyTorch, and by hand."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from algorithms.base import Networks
from algorithms.engine.engine import Engine
from algorithms.engine.preflight import check
from algorithms.transitions import Transitions
from baselines.idql import IDQL, IDQLConfig
from tests.algorithms.blocks.test_diffusion import marginals
from tests.algorithms.blocks.test_noise_networks import learned_residual, walk
from tests.algorithms.reference import (
    adam_step,
    assert_same_weights,
    closed_form,
    learned,
    make_algorithm,
    of_seed,
    polyak,
    q_values,
    random_batch,
    random_noise,
    random_params,
    record,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine, states_equal
from tests.baselines.bandit import GOOD, POOR, STD, share_near, two_modes

T = 3


def _value(engine: Engine, slot: int) -> nn.Sequential:
    """V, with the layer norm of its input."""
    (body,) = learned(engine, "value", slot)
    state, layer_norm = engine.state(slot), nn.LayerNorm(OBS_DIM, eps=1e-6)
    layer_norm.weight.data = torch.tensor(state["params/value/scale_in"][0, 0])
    layer_norm.bias.data = torch.tensor(state["params/value/shift_in"][0, 0])
    return nn.Sequential(layer_norm, body)


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    """The policy, then V by the old average critic, then Q by the new V."""
    updates = 6
    engine = make_engine(
        "idql",
        transitions,
        offline_steps=updates,
        batch_size=8,
        discount=0.9,
        dropout=0.0,
        actor_learning_rate=5e-3,
        critic_learning_rate=1e-2,
        weight_decay=0.5,
        expectile=0.8,
        diffusion_steps=T,
        tau=0.05,
        ema=0.1,
    )
    starts = [
        (learned_residual(engine, slot), _value(engine, slot), learned(engine, "critic", slot))
        for slot in (0, 1)
    ]
    seen = record(engine)
    engine.train(updates)
    mean, variance = torch.tensor(marginals(T))
    for slot, (actor, value, critic) in enumerate(starts):
        old_actor, old_critic = copy.deepcopy((actor, critic))
        actor_adam = torch.optim.AdamW(actor.parameters(), lr=5e-3, weight_decay=0.5)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(actor_adam, updates)
        value_adam, critic_adam = (
            torch.optim.Adam(network.parameters(), lr=1e-2) for network in (value, critic)
        )
        for batch, noise in of_seed(seen, slot):
            s, a, following = batch.observations, batch.actions, batch.next_observations
            k = 1 + (T * noise["step"][:, 0]).long()
            x = mean[k, None] * a + variance[k, None].sqrt() * noise["epsilon"]
            adam_step(actor_adam, ((actor(s, x, k) - noise["epsilon"]) ** 2).sum(1).mean())
            cosine.step()

            u = q_values(old_critic, s, a).min(0).values.detach() - value(s)[:, 0]
            adam_step(value_adam, (torch.where(u < 0, 0.2, 0.8) * u**2).mean())

            with torch.no_grad():
                target = batch.rewards + 0.9 * batch.masks * value(following)[:, 0]
            adam_step(critic_adam, ((q_values(critic, s, a) - target) ** 2).mean())
            polyak(old_actor, actor, 0.1)
            polyak(old_critic, critic, 0.05)
        assert_same_weights(learned_residual(engine, slot), actor)
        assert_same_weights(learned_residual(engine, slot, "targets"), old_actor)
        assert_same_weights(_value(engine, slot), value)
        assert_same_weights(learned(engine, "critic", slot), critic)
        assert_same_weights(learned(engine, "critic", slot, "targets"), old_critic)


@pytest.mark.parametrize(("gap", "weight"), [(2.0, 0.7), (-2.0, 0.3)])
def test_v_weighs_what_is_better_than_it_by_the_expectile(gap: float, weight: float) -> None:
    """The smaller average twin lies `gap` beside V: |τ − 1(u < 0)| u² with τ = 0.7."""
    nets = closed_form(
        {"value": lambda s: torch.full_like(s[..., 0], 3.0), "critic": lambda *_: torch.empty(0)},
        target={"critic": lambda *_: torch.tensor([[[3.0 + gap], [9.0]]])},
    )
    loss, _ = make_algorithm("idql").value_loss(nets, random_batch(1, 1), {})
    assert float(loss) == pytest.approx(weight * 4)


@pytest.mark.parametrize(("mask", "target"), [(1.0, 1 + 0.5 * 4), (0.0, 1.0)])
def test_q_regresses_on_the_reward_and_the_next_v(mask: float, target: float) -> None:
    batch = random_batch(1, 1)._replace(rewards=torch.ones(1, 1), masks=torch.full((1, 1), mask))
    nets = closed_form(
        {
            "value": lambda _: torch.tensor([[4.0]]),
            "critic": lambda *_: torch.tensor([[[0.0], [1.0]]]),
        }
    )
    loss, _ = make_algorithm("idql", discount=0.5).critic_loss(nets, batch, {})
    assert float(loss) == pytest.approx((target**2 + (target - 1) ** 2) / 2)


def test_the_policys_loss_sums_over_dimensions() -> None:
    """A network that says 0 is off by |ε|²."""
    nets = closed_form({"actor": lambda _s, x, _k: torch.zeros_like(x)})
    algorithm = make_algorithm("idql")
    noise = random_noise(algorithm.noise, 1, 5)
    loss, _ = algorithm.actor_loss(nets, random_batch(1, 5), noise)
    assert float(loss) == pytest.approx(float((noise["epsilon"][0] ** 2).sum(1).mean()), rel=1e-5)


def test_dropout_acts_in_training_alone() -> None:
    """With half of the units dropped, the loss is another for another key; acting has none."""
    algorithm = make_algorithm("idql", dropout=0.5, actor_dim=16, diffusion_steps=T)
    params = random_params(algorithm.networks, 1)
    nets = Networks(algorithm.networks, params, params, params)
    batch, noise = random_batch(1, 64), random_noise(algorithm.noise, 1, 64)
    losses = [
        float(algorithm.actor_loss(nets, batch, {**noise, "dropout": torch.tensor([key])})[0])
        for key in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]
    draws = random_noise(algorithm.act_noise, 1, 64)
    same = make_algorithm("idql", dropout=0.0, actor_dim=16, diffusion_steps=T)
    actions = [a.act(nets, batch.observations, draws) for a in (algorithm, same)]
    assert torch.equal(*actions)


def test_acts_by_the_average_policy_and_ranks_by_the_average_critic(
    transitions: Transitions,
) -> None:
    engine = make_engine(
        "idql", transitions, diffusion_steps=T, ema=0.1, normalize_observations=False
    )
    engine.train(8)
    observations = np.random.default_rng(0).standard_normal((2, 4, OBS_DIM)).astype(np.float32)
    samples = engine.policy("test", "noise-1")(observations.repeat(64, 1)).reshape(2, 4, 64, -1)
    acted = engine.policy("test")(observations)
    for slot in (0, 1):
        critic = learned(engine, "critic", slot, "targets")
        for i in range(4):
            a = torch.tensor(samples[slot, i])
            s = torch.tensor(observations[slot, i]).expand(64, -1)
            best = q_values(critic, s, a).min(0).values.argmax()
            np.testing.assert_allclose(acted[slot, i], samples[slot, i, best], atol=1e-6)
    algorithm = engine.algorithm
    noise = random_noise(algorithm.act_noise, 1, 4)
    average = learned_residual(engine, 1, "targets")
    s = torch.tensor(observations[1])
    expected = walk(average, s, noise["sample"][0], T)
    state = engine.state(1)
    params = {
        key.removeprefix("targets/actor/"): torch.tensor(v)[None]
        for key, v in state.items()
        if key.startswith("targets/actor/")
    }
    nets = Networks(algorithm.networks, {"actor": {}}, {}, {"actor": params})
    torch.testing.assert_close(
        algorithm.act(nets, s[None], noise)[0], expected, rtol=1e-4, atol=1e-5
    )


def test_the_implicit_actor_takes_samples_better_than_v_more_often(
    transitions: Transitions,
) -> None:
    """With τ = 0.8 and two samples, of which one is better, that one in 4 of 5 draws."""
    nets = closed_form(
        {"value": lambda s: torch.ones_like(s[..., 0]), "critic": lambda *_: torch.empty(0)},
        target={"critic": lambda *_: torch.tensor([[[0.5, 1.5, 9.0], [7.0, 2.0, 0.9]]])},
    )
    algorithm = make_algorithm("idql", expectile=0.8)
    batch = random_batch(1, 3)
    weights = algorithm.softmax_value(nets, batch.observations, batch.actions).exp()
    torch.testing.assert_close(weights, torch.tensor([[0.2, 0.8, 0.2]]))
    assert algorithm.selection_temperature == 1
    assert make_engine("idql", transitions).algorithm.supports("softmax-of-64")


def test_online_only_the_critics_go_on(transitions: Transitions) -> None:
    algorithm = make_algorithm("idql")
    assert [phase.trains for phase in algorithm.online_phases()] == [("value",), ("critic",)]
    engine = make_engine("idql", transitions, offline_steps=4, online_steps=2)
    engine.train(4)
    before = engine.state(0)
    rows = transitions.rows[:2]
    engine.add(Transitions(rows, OBS_DIM, ACTION_DIM))
    engine.train(1)
    after = engine.state(0)
    actor = [key for key in after if "/actor/" in key]
    assert actor
    assert states_equal({k: before[k] for k in actor}, {k: after[k] for k in actor})
    assert not states_equal(before, after)


def test_the_critic_finds_the_mode_that_pays_and_samples_alone_do_not() -> None:
    engine = make_engine(
        "idql",
        two_modes(),
        offline_steps=300,
        batch_size=64,
        hidden_dims=(32, 32),
        actor_dim=32,
        actor_learning_rate=5e-3,
        critic_learning_rate=5e-3,
        diffusion_steps=5,
        ema=0.02,
        dropout=0.0,
        tau=0.05,
    )
    engine.train(300)
    assert (share_near(GOOD, engine, 4 * STD) > 0.9).all()
    samples = engine.policy("test", "noise-1")(np.zeros((2, 500, 1), np.float32))
    good, poor = (np.linalg.norm(samples - mode, axis=-1) for mode in (GOOD, POOR))
    share = (good < poor).mean(1)
    assert ((share > 0.35) & (share < 0.65)).all()


def test_the_learning_rate_of_the_policy_alone_decays() -> None:
    optimizers = make_algorithm("idql").optimizers
    assert [name for name, adam in optimizers.items() if adam.cosine_decay] == ["actor"]
    assert [name for name, adam in optimizers.items() if adam.weight_decay] == ["actor"]


def test_the_official_width_has_64_frequencies_and_an_embedding_of_256() -> None:
    shapes = {
        name: tuple(value.shape[1:])
        for name, value in IDQL(IDQLConfig(), 17, 6)
        .networks["actor"]
        .init(torch.Generator())
        .items()
    }
    assert shapes["frequencies"] == (1, 64)
    assert shapes["time_weight_0"] == (128, 256)
    assert shapes["weight_in"] == (17 + 6 + 256, 256)
    assert math.prod(shapes["weight_wide_2"]) == 256 * 1024


def test_the_preflight_has_no_remarks() -> None:
    assert check(IDQL, IDQLConfig(), OBS_DIM, ACTION_DIM, online=True) == []
