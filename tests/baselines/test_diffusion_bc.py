"""Diffusion behaviour cloning against plain PyTorch, and on a bandit with two modes."""

from __future__ import annotations

import copy
import math

import torch

from algorithms.transitions import Transitions
from tests.algorithms.blocks.test_diffusion import learned_noise_model, marginals
from tests.algorithms.reference import (
    assert_same_weights,
    closed_form,
    make_algorithm,
    of_seed,
    polyak,
    random_batch,
    random_noise,
    record,
)
from tests.algorithms.small import make_engine
from tests.baselines.bandit import GOOD, POOR, STD, share_near, two_modes


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    engine = make_engine("diffusion-bc", transitions, ema=0.1, diffusion_steps=4)
    actors = [learned_noise_model(engine, slot) for slot in (0, 1)]
    seen = record(engine)
    engine.train(8)
    mean, variance = torch.tensor(marginals(4))
    for slot, actor in enumerate(actors):
        average = copy.deepcopy(actor)
        adam = torch.optim.Adam(actor.parameters(), lr=3e-4)
        for batch, noise in of_seed(seen, slot):
            k = 1 + (4 * noise["step"][:, 0]).long()
            x = mean[k, None] * batch.actions + variance[k, None].sqrt() * noise["epsilon"]
            predicted = actor(batch.observations, x, k)
            adam.zero_grad()
            torch.nn.functional.mse_loss(predicted, noise["epsilon"]).backward()
            adam.step()
            polyak(average, actor, 0.1)
        assert_same_weights(learned_noise_model(engine, slot), actor)
        assert_same_weights(learned_noise_model(engine, slot, "targets"), average)


def test_acts_by_sampling_the_average() -> None:
    """In one step: the action that noise ε = 0.1 would have turned into the start."""
    nets = closed_form(
        {"actor": lambda _s, x, _k: torch.full_like(x, 1e6)},
        target={"actor": lambda _s, x, _k: torch.full_like(x, 0.1)},
    )
    algorithm = make_algorithm("diffusion-bc", diffusion_steps=1)
    noise = random_noise(algorithm.act_noise, 1, 3)
    actions = algorithm.act(nets, random_batch(1, 3).observations, noise)
    (_, mean), (_, variance) = marginals(1)
    expected = (noise["sample"] - math.sqrt(variance) * 0.1) / mean
    torch.testing.assert_close(actions, expected.clip(-1, 1))


def test_clones_both_modes_of_a_bandit() -> None:
    """In 20 steps: in 5, even the exact ε puts more than a tenth of the samples in between."""
    engine = make_engine(
        "diffusion-bc",
        two_modes(),
        offline_steps=1500,
        hidden_dims=(64, 64),
        batch_size=128,
        learning_rate=3e-3,
        diffusion_steps=20,
        ema=0.02,
    )
    engine.train(1500)
    poor, good = (share_near(mode, engine, 4 * STD) for mode in (POOR, GOOD))
    assert (abs(poor - good) < 0.2).all()
    assert (poor + good > 0.95).all()
