"""Diffusion-QL against the equations of arXiv:2208.06193 in plain PyTorch, and by hand."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from algorithms.transitions import Transitions
from tests.algorithms.blocks.test_diffusion import betas, learned_noise_model, marginals
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
from tests.algorithms.small import make_engine
from tests.baselines.bandit import GOOD, POOR, share_near, two_modes

K, ACT = 3, 2


def _sample(actor: nn.Module, s: Tensor, noise: Tensor) -> Tensor:
    """One state at a time, with the official code's coefficients. noise: [B, K * ACT]."""
    beta = betas(K)
    bar = np.cumprod(1 - beta)
    before = np.append(1.0, bar[:-1])
    draws = noise.view(len(s), K, ACT)
    actions = []
    for b in range(len(s)):
        x = draws[b, 0]
        for i in reversed(range(K)):
            (predicted,) = actor(s[b, None], x[None], torch.tensor([i + 1]))
            start = math.sqrt(1 / bar[i]) * x - math.sqrt(1 / bar[i] - 1) * predicted
            mean = beta[i] * math.sqrt(before[i]) / (1 - bar[i]) * start.clip(-1, 1)
            mean = mean + (1 - before[i]) * math.sqrt(1 - beta[i]) / (1 - bar[i]) * x
            deviation = math.sqrt(beta[i] * (1 - before[i]) / (1 - bar[i]))
            x = mean + (deviation * draws[b, K - i] if i else 0)
        actions.append(x)
    return torch.stack(actions)


@pytest.mark.parametrize("max_q_backup", [False, True])
def test_training_equals_plain_pytorch(max_q_backup: bool, transitions: Transitions) -> None:
    engine = make_engine(
        "diffusion-ql",
        transitions,
        batch_size=6,
        discount=0.9,
        learning_rate=3e-3,
        critic_learning_rate=1e-3,
        eta=2.0,
        diffusion_steps=K,
        tau=0.05,
        ema=0.1,
        max_grad_norm=0.5,
        max_q_backup=max_q_backup,
    )
    starts = [(learned_noise_model(engine, i), learned(engine, "critic", i)) for i in (0, 1)]
    seen = record(engine)
    engine.train(4)
    mean, variance = torch.tensor(marginals(K))
    norms = []
    for slot, (actor, critic) in enumerate(starts):
        old_actor, old_critic = copy.deepcopy((actor, critic))
        actor_adam = torch.optim.Adam(actor.parameters(), lr=3e-3)
        critic_adam = torch.optim.Adam(critic.parameters(), lr=1e-3)
        for batch, noise in of_seed(seen, slot):
            s, a, following = batch.observations, batch.actions, batch.next_observations
            with torch.no_grad():
                candidates = [
                    q_values(old_critic, following, _sample(old_actor, following, draw))
                    for draw in noise["next_sample"].split(K * ACT, 1)
                ]
                assert len(candidates) == (10 if max_q_backup else 1)
                q_next = torch.stack(candidates).max(0).values.min(0).values
                target = batch.rewards + 0.9 * batch.masks * q_next
            first, second = q_values(critic, s, a)
            loss = ((first - target) ** 2).mean() + ((second - target) ** 2).mean()
            norms.append(adam_step(critic_adam, loss, 0.5))

            k = 1 + (K * noise["step"][:, 0]).long()
            x = mean[k, None] * a + variance[k, None].sqrt() * noise["epsilon"]
            predicted = actor(s, x, k)
            loss = ((predicted - noise["epsilon"]) ** 2).mean()
            first, second = q_values(critic, s, _sample(actor, s, noise["sample"]))
            climb_first = -first.mean() / second.abs().mean().detach()
            climb_second = -second.mean() / first.abs().mean().detach()
            loss = loss + 2.0 * (climb_first + climb_second) / 2
            norms.append(adam_step(actor_adam, loss, 0.5))
            polyak(old_actor, actor, 0.1)
            polyak(old_critic, critic, 0.05)
        assert_same_weights(learned_noise_model(engine, slot), actor)
        assert_same_weights(learned(engine, "critic", slot), critic)
        assert_same_weights(learned_noise_model(engine, slot, "targets"), old_actor)
        assert_same_weights(learned(engine, "critic", slot, "targets"), old_critic)
    assert min(norms) < 0.5 < max(norms)  # the bound was met and was not


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_each_twin_is_climbed_in_units_of_the_other(scale: float) -> None:
    """Q_1 = 3, -1 (mean size 2) and Q_2 = 8, 0 (4) in two states: −(1/4 + 4/2) / 2."""
    batch = random_batch(1, 2)
    nets = closed_form(
        {
            "actor": lambda _s, x, _k: torch.zeros_like(x),
            "critic": lambda *_: scale * torch.tensor([[[3.0, -1.0], [8.0, 0.0]]]),
        }
    )
    algorithm = make_algorithm("diffusion-ql", eta=0.5)
    noise = random_noise(algorithm.noise, 1, 2)
    loss, metrics = algorithm.actor_loss(nets, batch, noise)
    assert float(metrics["actor/q_loss"]) == pytest.approx(-1.125)
    bc_loss = float(noise["epsilon"].square().mean())
    assert float(loss) == pytest.approx(bc_loss - 0.5 * 1.125, rel=1e-5)


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_the_policy_gradient_reaches_each_step_of_the_chain(step: int) -> None:
    """Q = 1 + a_1 and noise 0 make a = 0 and Q = 1: dL/dε_k = −η/2 · da_1/dε_k on one state."""
    knob = torch.zeros(1, requires_grad=True)
    nets = closed_form(
        {
            "actor": lambda _s, x, k: torch.where(k == step, knob, torch.zeros_like(x)),
            "critic": lambda _s, a: (1 + a[..., 0]).unsqueeze(1).expand(1, 2, 1),
        }
    )
    algorithm = make_algorithm("diffusion-ql", eta=3.0)
    noise = {name: torch.zeros_like(v) for name, v in random_noise(algorithm.noise, 1, 1).items()}
    _, metrics = algorithm.actor_loss(nets, random_batch(1, 1), noise)
    metrics["actor/q_loss"].sum().backward()
    beta, (_, variances) = betas(5), marginals(5)
    kept = np.cumprod(1 - beta)[step - 1]
    slope = -beta[step - 1] / math.sqrt(variances[step]) / math.sqrt(kept)  # da/dε_k
    assert knob.grad is not None
    assert float(knob.grad) == pytest.approx(-slope, rel=1e-4)


def test_backups_use_the_average_policy_and_stop_at_terminals() -> None:
    """r = 1, γ = 0.5, Q = 0; the average policy's actions end clipped at −1 and Q' is −4 a_1."""
    batch = random_batch(1, 2)._replace(rewards=torch.ones(1, 2), masks=torch.tensor([[1.0, 0.0]]))
    nets = closed_form(
        {
            "critic": lambda *_: torch.zeros(1, 2, 2),
            "actor": lambda _s, x, _k: torch.full_like(x, -1e3),
        },
        target={
            "actor": lambda _s, x, _k: torch.full_like(x, 1e3),
            "critic": lambda _s, a: torch.stack([-4 * a[..., 0], -6 * a[..., 0]], 1),
        },
    )
    algorithm = make_algorithm("diffusion-ql", discount=0.5)
    loss, _ = algorithm.critic_loss(nets, batch, random_noise(algorithm.noise, 1, 2))
    assert float(loss) == pytest.approx(2 * ((1 + 0.5 * 4) ** 2 + 1) / 2, rel=1e-5)


def test_acts_by_one_sample_of_the_trained_policy() -> None:
    nets = closed_form(
        {"actor": lambda _s, x, _k: torch.full_like(x, -1e3)},
        target={"actor": lambda _s, x, _k: torch.full_like(x, 1e3)},
    )
    algorithm = make_algorithm("diffusion-ql")
    noise = random_noise(algorithm.act_noise, 1, 3)
    actions = algorithm.act(nets, random_batch(1, 3).observations, noise)
    assert torch.equal(actions, torch.ones(1, 3, ACT))


def test_leaves_the_mode_that_pays_less() -> None:
    engine = make_engine(
        "diffusion-ql",
        two_modes(),
        offline_steps=200,
        batch_size=64,
        learning_rate=3e-3,
        critic_learning_rate=3e-3,
    )
    engine.train(200)
    assert (share_near(POOR, engine, 1.0) < 0.05).all()
    assert (share_near(GOOD, engine, 1.0) > 0.9).all()


def test_best_of_n_ranks_by_the_smaller_target_critic() -> None:
    twins = torch.tensor([[[3.0, -1.0], [8.0, -2.0]]])
    nets = closed_form({"critic": lambda *_: -twins}, target={"critic": lambda *_: twins})
    batch = random_batch(1, 2)
    values = make_algorithm("diffusion-ql").action_value(nets, batch.observations, batch.actions)
    assert values.tolist() == [[3.0, -2.0]]
