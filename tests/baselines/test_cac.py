"""Consistency-AC against the official code's rules in plain PyTorch, by hand, and on two modes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from algorithms.engine.preflight import check
from algorithms.transitions import Transitions
from baselines.cac import CAC, CACConfig
from tests.algorithms.blocks.test_consistency import boundary, denoised, levels
from tests.algorithms.blocks.test_diffusion import learned_noise_model
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
    record,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.baselines.bandit import GOOD, POOR, share_near, two_modes

CURRICULUM = 3  # updates: after 2 levels there are 87 and then 123, and then again 2


def _policy(actor: nn.Module, s: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """f(s, ·, ·); the network counts from 1."""
    return lambda x, sigma: denoised(lambda y, at: actor(s, y, at[:, 0] + 1), x, sigma)


def _sample(actor: nn.Module, s: Tensor, noise: Tensor) -> Tensor:
    """Three steps, at 80, 41 and 2. noise: [B, 3 * ACTION_DIM]."""
    f = _policy(actor, s)
    draws = noise.view(len(s), 3, ACTION_DIM)
    x = f(80 * draws[:, 0], torch.full((len(s), 1), 80.0))
    for i, sigma in ((1, 41.0), (2, 2.0)):
        x = x + math.sqrt(sigma**2 - 0.002**2) * draws[:, i]
        x = f(x, torch.full((len(s), 1), sigma))
    return x.clip(-1, 1)


@pytest.mark.parametrize("normalize_backups", [False, True])
def test_training_equals_plain_pytorch(normalize_backups: bool, transitions: Transitions) -> None:
    engine = make_engine(
        "cac",
        transitions,
        batch_size=6,
        discount=0.9,
        learning_rate=3e-3,
        critic_learning_rate=1e-3,
        eta=2.0,
        diffusion_steps=3,
        curriculum_steps=CURRICULUM,
        normalize_backups=normalize_backups,
        tau=0.05,
        ema=0.1,
        max_grad_norm=3.0,
    )
    starts = [(learned_noise_model(engine, i), learned(engine, "critic", i)) for i in (0, 1)]
    seen = record(engine)
    engine.train(4)
    norms = []
    for slot, (actor, critic) in enumerate(starts):
        old_actor, old_critic = copy.deepcopy((actor, critic))
        actor_adam = torch.optim.Adam(actor.parameters(), lr=3e-3)
        critic_adam = torch.optim.Adam(critic.parameters(), lr=1e-3)
        for i, (batch, noise) in enumerate(of_seed(seen, slot)):
            s, a, following = batch.observations, batch.actions, batch.next_observations
            with torch.no_grad():
                next_actions = _sample(old_actor, following, noise["next_sample"])
                q_next = q_values(old_critic, following, next_actions).min(0).values
                target = batch.rewards + 0.9 * batch.masks * q_next
                if normalize_backups:
                    target = target / (target.std() + 1e-6)
            first, second = q_values(critic, s, a)
            loss = F.mse_loss(first, target) + F.mse_loss(second, target)
            norms.append(adam_step(critic_adam, loss, 3.0))

            count = levels(i % CURRICULUM, CURRICULUM)
            index = (noise["step"][:, 0] * (count - 1)).long().tolist()
            low = torch.tensor([[boundary(n, count)] for n in index])
            high = torch.tensor([[boundary(n + 1, count)] for n in index])
            z = noise["epsilon"]
            with torch.no_grad():
                goal = _policy(old_actor, s)(a + low * z, low)
            found = _policy(actor, s)(a + high * z, high)
            bc_loss = (100 / (high - low) * (found - goal) ** 2).mean()
            first, second = q_values(critic, s, _sample(actor, s, noise["sample"]))
            climb_first = -first.mean() / second.abs().mean().detach()
            climb_second = -second.mean() / first.abs().mean().detach()
            loss = bc_loss + 2.0 * (climb_first + climb_second) / 2
            norms.append(adam_step(actor_adam, loss, 3.0))
            polyak(old_actor, actor, 0.1)
            polyak(old_critic, critic, 0.05)
        assert_same_weights(learned_noise_model(engine, slot), actor)
        assert_same_weights(learned(engine, "critic", slot), critic)
        assert_same_weights(learned_noise_model(engine, slot, "targets"), old_actor)
        assert_same_weights(learned(engine, "critic", slot, "targets"), old_critic)
    assert min(norms) < 3.0 < max(norms)  # the bound was met and was not


def test_levels_of_noise_begin_anew_when_the_curriculum_is_over(transitions: Transitions) -> None:
    engine = make_engine("cac", transitions, curriculum_steps=5)
    counts = []
    for _ in range(7):
        engine.train(1)
        counts.append([float(engine.state(slot)["params/updates/count"][0]) for slot in (0, 1)])
    assert counts == [[i % 5, i % 5] for i in range(1, 8)]


def test_normalised_backups_are_in_units_of_their_deviation() -> None:
    """r = 1 and 4 at terminals: their deviation, of two, is 3/√2."""
    batch = random_batch(1, 2)._replace(rewards=torch.tensor([[1.0, 4.0]]), masks=torch.zeros(1, 2))
    nets = closed_form(
        {
            "actor": lambda _s, x, _k: x,
            "critic": lambda s, _a: torch.zeros(1, 2, s.shape[1]),
        }
    )
    expected = {False: [[1.0, 4.0]], True: [[math.sqrt(2) / 3, 4 * math.sqrt(2) / 3]]}
    for normalize, values in expected.items():
        algorithm: Any = make_algorithm("cac", normalize_backups=normalize)
        backup = algorithm.backup(nets, batch, random_noise(algorithm.noise, 1, 2))
        torch.testing.assert_close(backup, torch.tensor(values), rtol=1e-5, atol=0)


def test_only_the_trained_policy_carries_the_consistency_loss_s_gradient() -> None:
    """With 2 levels and F = c: f(80) = c_skip x + c_out c, and the average policy's f is a."""
    knob, teacher = torch.zeros(1, requires_grad=True), torch.ones(1, requires_grad=True)
    nets = closed_form(
        {
            "actor": lambda _s, x, _k: knob.expand_as(x),
            "updates": lambda: torch.zeros(1),
        },
        target={"actor": lambda _s, x, _k: teacher.expand_as(x)},
    )
    algorithm: Any = make_algorithm("cac")
    batch = random_batch(1, 1)._replace(actions=torch.full((1, 1, ACTION_DIM), 0.5))
    noise = {k: torch.zeros_like(v) for k, v in random_noise(algorithm.noise, 1, 1).items()}
    loss = algorithm.bc_loss(nets, batch, noise)
    above, out = 80 - 0.002, 0.5 * (80 - 0.002) / math.sqrt(80**2 + 0.25)
    error = 0.25 / (above**2 + 0.25) * 0.5 - 0.5
    assert float(loss.detach()) == pytest.approx(100 / above * error**2, rel=1e-4)
    loss.sum().backward()
    assert knob.grad is not None
    assert float(knob.grad) == pytest.approx(100 / above * 2 * error * out, rel=1e-4)
    assert teacher.grad is None


def test_acts_by_a_sample_of_the_trained_policy_chosen_by_the_target_critics() -> None:
    twins = torch.tensor([[[3.0, -1.0], [8.0, -2.0]]])
    nets = closed_form(
        {"actor": lambda _s, x, _k: torch.full_like(x, -1e3), "critic": lambda *_: -twins},
        target={"actor": lambda _s, x, _k: torch.full_like(x, 1e3), "critic": lambda *_: twins},
    )
    algorithm, batch = make_algorithm("cac"), random_batch(1, 2)
    noise = random_noise(algorithm.act_noise, 1, 2)
    actions = algorithm.act(nets, batch.observations, noise)
    assert torch.equal(actions, torch.full((1, 2, ACTION_DIM), -1.0))
    values = algorithm.action_value(nets, batch.observations, batch.actions)
    assert values.tolist() == [[3.0, -2.0]]
    assert (algorithm.action_selection, algorithm.selection_temperature) == ("softmax-of-50", 1.0)


@pytest.mark.parametrize("eta", [0.0, 20.0])
def test_models_both_modes_and_under_q_the_one_that_pays(eta: float) -> None:
    """Its own samples, without a critic that ranks them."""
    engine = make_engine(
        "cac",
        two_modes(),
        offline_steps=150,
        batch_size=64,
        learning_rate=1e-2,
        critic_learning_rate=3e-3,
        curriculum_steps=2000,
        ema=0.2,
        eta=eta,
    )
    engine.train(150)
    good, poor = (share_near(mode, engine, 0.5, "noise-1") for mode in (GOOD, POOR))
    if eta:
        assert (good > 0.9).all()
        assert (poor < 0.05).all()
    else:
        assert (np.minimum(good, poor) > 0.25).all()


def test_the_preflight_has_no_remarks() -> None:
    assert check(CAC, CACConfig(), OBS_DIM, ACTION_DIM) == []
    assert check(CAC, CACConfig(normalize_backups=True), OBS_DIM, ACTION_DIM) == []
