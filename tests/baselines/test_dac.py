"""DAC against the equations of arXiv:2405.20555 in plain PyTorch, and by hand."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from algorithms.transitions import Transitions
from tests.algorithms.blocks.test_denoising import learned_step_model, walk
from tests.algorithms.blocks.test_diffusion import marginals
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

K, ACT, N, UPDATES = 3, 2, 2, 4


@pytest.mark.parametrize("max_q_backup", [False, True])
def test_training_equals_plain_pytorch(max_q_backup: bool, transitions: Transitions) -> None:
    engine = make_engine(
        "dac",
        transitions,
        offline_steps=10,
        batch_size=6,
        discount=0.9,
        learning_rate=3e-3,
        critic_learning_rate=1e-3,
        eta=2.0,
        eta_step=0.1,
        bc_threshold=0.5,
        diffusion_steps=K,
        critics=3,
        rho=0.7,
        samples=N,
        max_q_backup=max_q_backup,
        tau=0.05,
        ema=0.1,
        max_grad_norm=0.5,
    )
    starts = [
        (learned_step_model(engine, "actor", i), learned(engine, "critic", i)) for i in (0, 1)
    ]
    seen = record(engine)
    engine.train(UPDATES)
    mean, variance = torch.tensor(marginals(K))
    norms = []
    for slot, (actor, critic) in enumerate(starts):
        old_actor, old_critic = copy.deepcopy((actor, critic))
        actor_adam = torch.optim.Adam(actor.parameters(), lr=3e-3)
        critic_adam = torch.optim.Adam(critic.parameters(), lr=1e-3)
        eta = 2.0
        for update, (batch, noise) in enumerate(of_seed(seen, slot)):
            decay = 0.5 * (1 + math.cos(math.pi * update / 10))
            actor_adam.param_groups[0]["lr"] = decay * 3e-3
            critic_adam.param_groups[0]["lr"] = decay * 1e-3
            s, a, following = batch.observations, batch.actions, batch.next_observations
            with torch.no_grad():
                candidates = torch.stack(
                    [
                        q_values(old_critic, following, walk(old_actor, following, draw, K)[0])
                        for draw in noise["next_sample"].split(K * ACT, 1)
                    ]
                )
                assert len(candidates) == N
                q_next = candidates.max(0).values if max_q_backup else candidates.mean(0)
                q_next = q_next.mean(0) - 0.7 * q_next.std(0, correction=0)
                target = batch.rewards + 0.9 * batch.masks * q_next
            loss = ((q_values(critic, s, a) - target) ** 2).mean()
            norms.append(adam_step(critic_adam, loss, 0.5))
            polyak(old_critic, critic, 0.05)

            k = 1 + (K * noise["step"][:, 0]).long()
            level = variance[k, None].sqrt()
            x = (mean[k, None] * a + level * noise["epsilon"]).requires_grad_()
            (slopes,) = torch.autograd.grad(q_values(old_critic, s, x).mean(0).sum(), [x])
            slopes = slopes / (q_values(old_critic, s, a).abs().mean().detach() + 1e-6)
            x = x.detach()
            predicted = actor(s, x, k)
            error = ((predicted - noise["epsilon"]) ** 2).mean()
            loss = eta * error + (level * slopes * predicted).mean()
            norms.append(adam_step(actor_adam, loss, 0.5))
            eta += 0.1 * min(max(error.item() - 0.5, -1), 1)
            polyak(old_actor, actor, 0.1)
        assert_same_weights(learned_step_model(engine, "actor", slot), actor)
        assert_same_weights(learned(engine, "critic", slot), critic)
        assert_same_weights(learned_step_model(engine, "actor", slot, "targets"), old_actor)
        assert_same_weights(learned(engine, "critic", slot, "targets"), old_critic)
        assert engine.state(slot)["params/eta/log"].item() == pytest.approx(math.log(eta), rel=1e-4)
        assert abs(eta - 2) > 0.01
    assert min(norms) < 0.5 < max(norms)  # the bound was met and was not


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_the_guidance_is_the_slope_in_units_of_q_and_weak_where_there_is_little_noise(
    scale: float,
) -> None:
    """Q_1 = 2 + 8 a_1 and Q_2 = 4 + 4 a_1 at a = 0: mean |Q| is 3, and the slope (6, 0)."""
    batch = random_batch(1, 3)
    batch = batch._replace(actions=torch.zeros_like(batch.actions))
    nets = closed_form(
        {
            "actor": lambda _s, x, _k: torch.full_like(x, 0.5),
            "critic": lambda _s, a: (
                scale * torch.stack([2 + 8 * a[..., 0], 4 + 4 * a[..., 0]], dim=1)
            ),
            "eta": lambda: torch.tensor([math.log(4.0)]),
        }
    )
    algorithm = make_algorithm("dac", diffusion_steps=3)
    noise = random_noise(algorithm.noise, 1, 3)
    noise["step"] = torch.tensor([0.1, 0.5, 0.9]).view(1, 3, 1)  # k = 1, 2, 3
    loss, metrics = algorithm.actor_loss(nets, batch, noise)
    levels = [math.sqrt(variance) for variance in marginals(3)[1][1:]]
    guidance = sum(level * 2.0 * 0.5 for level in levels) / 6  # over states and dimensions
    bc_loss = float((0.5 - noise["epsilon"]).square().mean())
    assert float(metrics["actor/guidance_loss"]) == pytest.approx(guidance, rel=1e-5)
    assert float(loss) == pytest.approx(4 * bc_loss + guidance, rel=1e-5)


@pytest.mark.parametrize(("max_q_backup", "next_q"), [(False, 2.0), (True, 3.0 - 0.5)])
def test_the_backup_is_pessimistic_over_critics_after_it_averages_over_actions(
    max_q_backup: bool, next_q: float
) -> None:
    """Of two actions Q_1 says 0 and 4, Q_2 says 2 and 2: means 2 and 2, and the best 4 and 2."""
    batch = random_batch(1, 2)._replace(rewards=torch.ones(1, 2), masks=torch.tensor([[1.0, 0.0]]))
    nets = closed_form(
        {
            "actor": lambda _s, x, _k: torch.zeros_like(x),
            "critic": lambda *_: torch.zeros(1, 2, 2),
        },
        target={"critic": lambda *_: torch.tensor([[[0.0, 4.0, 9.0, 9.0], [2.0, 2.0, 9.0, 9.0]]])},
    )
    algorithm = make_algorithm("dac", discount=0.5, rho=0.5, samples=2, max_q_backup=max_q_backup)
    loss, _ = algorithm.critic_loss(nets, batch, random_noise(algorithm.noise, 1, 2))
    assert float(loss) == pytest.approx(((1 + 0.5 * next_q) ** 2 + 1) / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("eta", "error", "expected"),
    [
        (1.0, 0.7, 1.0 + 0.1 * (0.7 - 0.5)),
        (1.0, 0.2, 1.0 - 0.1 * (0.5 - 0.2)),
        (1.0, 9.0, 1.1),  # one step is at most that far
        (0.005, 0.0, 1e-3),
        (99.99, 9.0, 100.0),
    ],
)
def test_eta_rises_while_cloning_is_worse_than_the_threshold(
    eta: float, error: float, expected: float
) -> None:
    algorithm = make_algorithm("dac", eta_step=0.1, bc_threshold=0.5)
    noise = random_noise(algorithm.noise, 1, 4)
    nets = closed_form(
        {
            "actor": lambda *_: noise["epsilon"] + math.sqrt(error),
            "eta": lambda: torch.tensor([math.log(eta)]),
        }
    )
    moved = algorithm.ascend_in_eta(nets, random_batch(1, 4), noise)["eta"]["log"]
    assert moved.shape == (1, 1)
    assert float(moved.exp()) == pytest.approx(expected, rel=1e-4)


def test_acts_by_a_sample_of_the_trained_policy_and_ranks_by_the_target_critics_mean() -> None:
    nets = closed_form(
        {
            "actor": lambda _s, x, _k: torch.full_like(x, -1e3),
            "critic": lambda *_: torch.zeros(1, 2, 3),
        },
        target={
            "actor": lambda _s, x, _k: torch.full_like(x, 1e3),
            "critic": lambda *_: torch.tensor([[[3.0, -1.0, 0.0], [8.0, -2.0, 1.0]]]),
        },
    )
    algorithm, batch = make_algorithm("dac"), random_batch(1, 3)
    noise = random_noise(algorithm.act_noise, 1, 3)
    actions = algorithm.act(nets, batch.observations, noise)
    torch.testing.assert_close(actions, torch.ones(1, 3, ACT))
    values = algorithm.action_value(nets, batch.observations, actions)
    assert values.tolist() == [[5.5, -1.5, 0.5]]


def test_leaves_the_mode_that_pays_less() -> None:
    """Without the help of choosing among candidates."""
    engine = make_engine(
        "dac",
        two_modes(),
        offline_steps=150,
        batch_size=64,
        learning_rate=5e-3,
        critic_learning_rate=5e-3,
        critics=2,
        diffusion_steps=5,
        samples=2,
        eta=0.3,
    )
    engine.train(150)
    assert (share_near(POOR, engine, 0.7, "noise-1") < 0.05).all()
    assert (share_near(GOOD, engine, 0.7, "noise-1") > 0.8).all()
