"""MeanFlowQL against the official code in plain PyTorch, and by hand."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from algorithms.engine.engine import Engine
from algorithms.transitions import Transitions
from tests.algorithms.blocks.test_diffusion_transformer import TransformerModel
from tests.algorithms.reference import (
    assert_same_weights,
    closed_form,
    learned,
    make_algorithm,
    of_seed,
    params_of,
    polyak,
    q_values,
    random_batch,
    random_noise,
    record,
)
from tests.algorithms.small import make_engine
from tests.baselines.bandit import BEST, GOOD, POOR, hill, share_near, two_modes

STEPS, WARMUP, BLOCKS = 6, 3, 2


def _actor(engine: Engine, slot: int) -> TransformerModel:
    return TransformerModel(params_of(engine, "actor", slot), BLOCKS)


def _policy(actor: nn.Module, s: Tensor, z: Tensor) -> Tensor:
    return actor(s, z, torch.ones(len(s), 1))


def _cloning_loss(actor: nn.Module, s: Tensor, a: Tensor, e: Tensor, t: Tensor) -> Tensor:
    """The derivative along the path by two backward passes."""
    x, v = (1 - t) * a + t * e, e - a
    (g, slope) = torch.autograd.functional.jvp(
        lambda x, t: actor(s, x, t), (x, t), (v, torch.ones_like(t)), create_graph=True
    )
    goal = (x + (t - 1) * v - t * slope).detach().clip(-5, 5)
    error = ((g - goal) ** 2).mean(1)
    return (error / (error.detach() + 1e-4) ** 0.2).mean()


@pytest.mark.parametrize(
    ("aggregation", "normalize"), [("mean", False), ("min", True)], ids=["default", "pessimist"]
)
def test_training_equals_plain_pytorch(
    aggregation: str, normalize: bool, transitions: Transitions
) -> None:
    engine = make_engine(
        "mean-flow",
        transitions,
        offline_steps=STEPS,
        learning_rate=3e-3,
        critic_learning_rate=5e-3,
        warmup_steps=WARMUP,
        actor_blocks=BLOCKS,
        max_grad_norm=0.5,
        alpha=3.0,
        bound_weight=2.0,
        candidates=3,
        tau=0.05,
        discount=0.9,
        q_aggregation=aggregation,
        normalize_q_loss=normalize,
    )
    starts = [(_actor(engine, slot), learned(engine, "critic", slot)) for slot in (0, 1)]
    seen = record(engine)
    engine.train(STEPS)
    assert len(seen) == STEPS
    for slot, (actor, critic) in enumerate(starts):
        target = copy.deepcopy(critic)
        actor_adam = torch.optim.Adam(actor.parameters())
        critic_adam = torch.optim.Adam(critic.parameters(), lr=5e-3)
        for i, (batch, noise) in enumerate(of_seed(seen, slot)):
            s, a, following = batch.observations, batch.actions, batch.next_observations
            with torch.no_grad():
                candidates = [_policy(actor, following, z) for z in noise["next_z"].split(2, 1)]
                qs = torch.stack([q_values(target, following, c.clip(-1, 1)) for c in candidates])
                best = qs.mean(1).max(0).indices  # [B]
                chosen = qs[best, :, torch.arange(len(best))]  # [B, 2]
                q_next = chosen.min(1).values if aggregation == "min" else chosen.mean(1)
                backup = batch.rewards + 0.9 * batch.masks * q_next
            frozen = copy.deepcopy(critic)
            critic_loss = ((q_values(critic, s, a) - backup) ** 2).mean()
            pi = _policy(actor, s, noise["z"])
            bound = torch.relu(pi - 1).mean() + torch.relu(-1 - pi).mean()
            q = q_values(frozen, s, pi.clip(-1, 1)).mean(0)
            q_loss = -q.mean() / (q.abs().mean().detach() if normalize else 1)
            bc_loss = _cloning_loss(actor, s, a, noise["e"], noise["time"])
            actor_adam.zero_grad()
            critic_adam.zero_grad()
            (critic_loss + 3.0 * bc_loss + q_loss + 2.0 * bound).backward()
            for net in (actor, critic):
                nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            annealed = max(0.1, 0.5 * (1 + math.cos(math.pi * i / STEPS)))
            actor_adam.param_groups[0]["lr"] = 3e-3 * annealed * min(1, (i + 1) / WARMUP)
            actor_adam.step()
            critic_adam.step()
            polyak(target, critic, 0.05)
        assert_same_weights(_actor(engine, slot), actor)
        assert_same_weights(learned(engine, "critic", slot), critic)
        assert_same_weights(learned(engine, "critic", slot, "targets"), target)


@pytest.mark.parametrize(("aggregation", "next_q"), [("mean", 6.0), ("min", 2.0)])
def test_the_backup_is_of_the_candidate_that_the_mean_of_the_twins_prefers(
    aggregation: str, next_q: float
) -> None:
    """The twins are 10 a and 2 in one of the two, 4 and 4 in the other: r = 1, γ = 0.5, Q = 0."""
    nets = closed_form(
        {"critic": lambda _s, a: torch.zeros(1, 2, a.shape[1]), "actor": lambda _s, z, _t: z},
        target={
            "critic": lambda _s, a: torch.stack(
                [torch.where(a[..., 0] > 0, 10.0, 4.0), torch.where(a[..., 0] > 0, 2.0, 4.0)], 1
            )
        },
    )
    algorithm: Any = make_algorithm(
        "mean-flow", discount=0.5, candidates=2, q_aggregation=aggregation
    )
    batch = random_batch(1, 2)._replace(rewards=torch.ones(1, 2), masks=torch.tensor([[1.0, 0.0]]))
    noise = random_noise(algorithm.noise, 1, 2)
    noise["next_z"] = torch.tensor([[[-0.5, 0.0, 0.5, 0.0], [0.5, 0.0, -0.5, 0.0]]])
    loss, _ = algorithm.critic_loss(nets, batch, noise)
    assert float(loss) == pytest.approx(((1 + 0.5 * next_q) ** 2 + 1) / 2)


def test_actions_beyond_their_bounds_cost_as_far_as_they_are() -> None:
    """a = (3, −1.5): one coordinate is 2 beyond, one half; Q = 2 a_1 + a_2 is that of (1, −1)."""
    beyond = torch.tensor([3.0, -1.5])
    nets = closed_form(
        {"actor": lambda _s, z, t: beyond + 0 * z * t},
        frozen={"critic": lambda _s, a: (2 * a[..., 0] + a[..., 1]).unsqueeze(1).expand(1, 2, -1)},
    )
    algorithm: Any = make_algorithm("mean-flow", alpha=0.0, bound_weight=4.0)
    loss, metrics = algorithm.actor_loss(
        nets, random_batch(1, 2), random_noise(algorithm.noise, 1, 2)
    )
    assert float(metrics["actor/bound_loss"]) == pytest.approx(1.25)
    assert float(metrics["actor/q_loss"]) == pytest.approx(-1.0)
    assert float(loss) == pytest.approx(4 * 1.25 - 1)


def test_acts_from_noise_at_time_one() -> None:
    nets = closed_form({"actor": lambda s, z, t: 2 * z + t * s[..., :2]})
    algorithm = make_algorithm("mean-flow")
    observations = random_batch(1, 3).observations
    noise = random_noise(algorithm.act_noise, 1, 3)
    expected = 2 * noise["z"] + observations[..., :2]
    assert torch.equal(algorithm.act(nets, observations, noise), expected)


def test_candidates_are_ranked_by_the_mean_of_the_target_twins() -> None:
    nets = closed_form(
        {"critic": lambda *_: torch.full((1, 2, 1), 9.0)},
        target={"critic": lambda *_: torch.tensor([[[1.0], [4.0]]])},
    )
    batch = random_batch(1, 1)
    algorithm = make_algorithm("mean-flow")
    assert float(algorithm.action_value(nets, batch.observations, batch.actions)) == 2.5


def _engine(data: Transitions, steps: int, **settings: Any) -> Engine:
    engine = make_engine(
        "mean-flow",
        data,
        offline_steps=steps,
        hidden_dims=(32, 32),
        actor_dim=32,
        actor_blocks=1,
        batch_size=64,
        learning_rate=2e-2,
        critic_learning_rate=2e-2,
        candidates=1,
        normalize_observations=False,
        **settings,
    )
    engine.train(steps)
    return engine


def _sampled(engine: Engine) -> NDArray[np.float32]:
    """What the policy does where no candidates compete."""
    return engine.policy("test", "noise-1")(np.zeros((2, 500, 1), np.float32))


def test_one_evaluation_has_both_modes_of_the_data_and_of_five_the_best_acts() -> None:
    engine = _engine(two_modes(), 60, alpha=1e4)
    for mode in (POOR, GOOD):
        share = (np.linalg.norm(_sampled(engine) - mode, axis=-1) < 0.5).mean(1)
        assert (share > 0.25).all()
    assert (share_near(GOOD, engine, 0.5) > 0.75).all()


def test_climbs_q_as_far_as_cloning_lets_it() -> None:
    """The data's actions are uniform: 1.17 from the top in the mean square."""
    off = [
        np.square(_sampled(_engine(hill(), 40, alpha=alpha)) - BEST).sum(-1).mean(1)
        for alpha in (0.3, 100.0)
    ]
    assert (off[0] < 0.25).all()
    assert (off[1] > 0.6).all()
