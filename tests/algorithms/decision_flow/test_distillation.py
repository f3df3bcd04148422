"""The distilled one-step policy: what it fits, and that acting takes one call."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms.transitions import Transitions
from tests.algorithms.flow_reference import leaves, reached_by_gradients, start_noise
from tests.algorithms.reference import closed_form, make_algorithm, random_batch, random_noise
from tests.algorithms.small import make_engine

SEEDS, BATCH = 2, 4


def _drift(s: Tensor, x: Tensor, _t: Tensor) -> Tensor:
    return s[..., :2].expand_as(x)


def test_a_jump_that_is_exact_from_everywhere_has_no_loss() -> None:
    """A drift that depends on the state alone takes x_t to x_t + (1 − t) s."""
    algorithm: Any = make_algorithm("df-div-distilled", flow_steps=5)
    nets = closed_form({"jump": _drift}, target={"policy": _drift})
    batch, noise = random_batch(SEEDS, BATCH), start_noise(SEEDS, BATCH)
    loss, _ = algorithm.distillation_loss(nets, batch, noise)
    torch.testing.assert_close(loss, torch.zeros(SEEDS), rtol=0, atol=1e-10)


def test_the_loss_is_the_squared_distance_to_the_roll_outs_end_by_hand() -> None:
    """T = 2, drift 3, jump 1: from t = 0 it misses by 2, from t = 1/2 by 1."""
    algorithm: Any = make_algorithm("df-div-distilled", flow_steps=2)
    nets = closed_form(
        {"jump": lambda _s, x, _t: torch.ones_like(x)},
        target={"policy": lambda _s, x, _t: torch.full_like(x, 3.0)},
    )
    batch, noise = random_batch(SEEDS, BATCH), start_noise(SEEDS, BATCH)
    loss, metrics = algorithm.distillation_loss(nets, batch, noise)
    torch.testing.assert_close(loss, torch.full((SEEDS,), (2.0**2 + 1.0**2) / 2))
    torch.testing.assert_close(metrics["jump/loss"], loss)


def test_the_teacher_is_the_averaged_policy_and_is_left_alone() -> None:
    algorithm: Any = make_algorithm("df-div-distilled", flow_steps=3)
    trained, _, nets = leaves(algorithm, SEEDS)
    batch, noise = random_batch(SEEDS, BATCH), random_noise(algorithm.noise, SEEDS, BATCH)
    loss, _ = algorithm.distillation_loss(nets, batch, noise)
    loss.sum().backward()
    assert reached_by_gradients(trained) == {"jump"}


def test_acting_in_one_step_is_one_call_of_the_averaged_jump() -> None:
    calls = []

    def jump(s: Tensor, x: Tensor, t: Tensor) -> Tensor:
        calls.append(t)
        return 2 * x + s[..., :2]

    algorithm: Any = make_algorithm("df-div-distilled", flow_steps=20)
    nets = closed_form({}, target={"jump": jump})
    observations, noise = random_batch(SEEDS, BATCH).observations, start_noise(SEEDS, BATCH)
    actions = algorithm.act_in_one_step(nets, observations, noise)
    torch.testing.assert_close(actions, 3 * noise["x0"] + observations[..., :2])
    assert len(calls) == 1
    assert not calls[0].any()


def test_the_one_step_policy_acts_once_it_is_trained_and_ends_near_its_teacher(
    transitions: Transitions,
) -> None:
    engine = make_engine(
        "df-div-distilled",
        transitions,
        offline_steps=300,
        batch_size=16,
        pretrain_share=0.2,
        distill_share=0.7,
        behavior_ema=0.05,
        policy_ema=0.05,
        policy_learning_rate=3e-3,
        flow_steps=4,
    )
    observations = np.stack([transitions.observations[:64]] * 2)
    engine.train(90)
    teacher = engine.policy("test")(observations)
    engine.train(1)
    untrained = engine.policy("test")(observations)
    engine.train(209)
    distilled = engine.policy("test")(observations)
    error = [float(np.square(a - teacher).mean()) for a in (untrained, distilled)]
    assert error[1] < 0.2 * error[0]
