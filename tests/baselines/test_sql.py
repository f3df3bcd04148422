"""SQL and EQL against the equations of arXiv:2303.15810 in plain PyTorch, and by hand."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from algorithms.engine.preflight import check
from algorithms.transitions import Transitions
from baselines.sql import SQL, SQLConfig
from tests.algorithms.reference import (
    assert_same_weights,
    learned,
    make_algorithm,
    of_seed,
    polyak,
    record,
)
from tests.algorithms.small import ACTION_DIM, OBS_DIM, make_engine
from tests.baselines.actors import Gaussian
from tests.baselines.bandit import GOOD, share_near, two_modes

ALPHA, BOUND = 0.3, 0.5


def sparse_loss(q: Tensor, v: Tensor) -> Tensor:
    term = (q - v) / (2 * ALPHA) + 1
    return torch.where(term > 0, term**2, torch.tensor(0.0)) + v / ALPHA


def exponential_loss(q: Tensor, v: Tensor) -> Tensor:
    """With the exponent at most 2, over the largest exponential, or 1/e if that is larger."""
    z = torch.clip((q - v) / ALPHA, max=2)
    scale = math.exp(max(z.max().item(), -1))
    return (z.exp() + v / ALPHA) / scale


LOSSES = {"sparse": sparse_loss, "exponential": exponential_loss}
WEIGHTS = {
    "sparse": lambda advantage: torch.clip(advantage, 0, BOUND),
    "exponential": lambda advantage: torch.clip(torch.exp(4 * advantage / ALPHA), 0, BOUND),
}


@pytest.mark.parametrize("regularizer", ["sparse", "exponential"])
def test_training_equals_plain_pytorch(transitions: Transitions, regularizer: str) -> None:
    """V, then the policy and Q with the new V."""
    updates = 6
    engine = make_engine(
        "sql",
        transitions,
        offline_steps=updates,
        learning_rate=1e-2,
        tau=0.05,
        discount=0.9,
        regularizer=regularizer,
        alpha=ALPHA,
        max_exponent=2.0,
        sharpness=4.0,
        max_weight=BOUND,
    )
    names = ("value", "critic")
    starts = [(Gaussian(engine, s), *(learned(engine, n, s) for n in names)) for s in (0, 1)]
    seen = record(engine)
    engine.train(updates)
    steep, bounded = 0, 0
    for slot, (actor, value, critic) in enumerate(starts):
        target = copy.deepcopy(critic)
        v_adam, pi_adam, q_adam = (
            torch.optim.Adam(net.parameters(), lr=1e-2) for net in (value, actor, critic)
        )
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(pi_adam, updates)
        for batch, _ in of_seed(seen, slot):
            s, pair = batch.observations, torch.cat([batch.observations, batch.actions], 1)
            with torch.no_grad():
                q = torch.minimum(*(member(pair)[:, 0] for member in target))
            v = value[0](s)[:, 0]
            steep += int(((q - v) / ALPHA > 2).sum())
            v_adam.zero_grad()
            LOSSES[regularizer](q, v).mean().backward()
            v_adam.step()

            with torch.no_grad():
                weight = WEIGHTS[regularizer](q - value[0](s)[:, 0])
                next_v = value[0](batch.next_observations)[:, 0]
                backup = batch.rewards + 0.9 * batch.masks * next_v
            bounded += int((weight == BOUND).sum())
            pi_adam.zero_grad()
            (-(weight * actor(s).log_prob(batch.actions)).mean()).backward()
            pi_adam.step()
            cosine.step()
            q_adam.zero_grad()
            sum(((member(pair)[:, 0] - backup) ** 2).mean() for member in critic).backward()
            q_adam.step()
            polyak(target, critic, 0.05)
        assert_same_weights(learned(engine, "value", slot), value)
        assert_same_weights(learned(engine, "critic", slot), critic)
        assert_same_weights(learned(engine, "critic", slot, "targets"), target)
        assert_same_weights(Gaussian(engine, slot), actor)
    assert steep
    assert bounded


def slope(q: Tensor, v: float, **settings: Any) -> float:
    """Of the mean of V's loss, as v changes."""
    value = torch.tensor(v, dtype=q.dtype, requires_grad=True)
    make_algorithm("sql", **settings).value_errors(q, value).mean().backward()
    return float(value.grad)


@pytest.mark.parametrize(
    ("alpha", "best"),
    [
        (0.1, 1 - 2 * 0.1),  # the 0 is ignored: (1 + (1 − v) / 2α) / 2 = 1
        (0.25, 0.5),  # it begins to count
        (2.0, 0.5),  # all count: v is the mean
    ],
)
def test_sparse_v_rests_where_the_weights_of_what_it_heeds_have_mean_one(
    alpha: float, best: float
) -> None:
    q = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    assert slope(q, best, alpha=alpha) == pytest.approx(0, abs=1e-6)
    assert slope(q, best - 0.01, alpha=alpha) < 0 < slope(q, best + 0.01, alpha=alpha)


@pytest.mark.parametrize("alpha", [0.3, 2.0])
def test_exponential_v_rests_at_the_soft_maximum(alpha: float) -> None:
    q = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    soft = alpha * math.log((1 + math.exp(1 / alpha)) / 2)
    settings = {"regularizer": "exponential", "alpha": alpha}
    assert slope(q, soft, **settings) == pytest.approx(0, abs=1e-6)
    assert slope(q, soft - 0.01, **settings) < 0 < slope(q, soft + 0.01, **settings)


def test_beyond_the_bound_exponential_v_is_drawn_down_by_its_linear_term() -> None:
    """(Q − V) / α = 4, bounded by 1: the slope is that of V / α alone, over e."""
    found = slope(
        torch.tensor([[2.0]]), 0.0, regularizer="exponential", alpha=0.5, max_exponent=1.0
    )
    assert found == pytest.approx(1 / 0.5 / math.e)


def test_weights_by_hand() -> None:
    """SQL: max(A, 0); EQL: exp(10 A / α)."""
    advantage = torch.tensor([[-0.1, 0.2]])
    found = make_algorithm("sql").weights(advantage)
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.2]]))
    found = make_algorithm("sql", regularizer="exponential", alpha=2.0).weights(advantage)
    torch.testing.assert_close(found, torch.tensor([[math.exp(-0.5), math.exp(1)]]))


FAST = {"offline_steps": 250, "learning_rate": 1e-2, "tau": 0.05, "batch_size": 64}


@pytest.mark.parametrize(
    ("regularizer", "alpha", "level"),
    [
        ("sparse", 0.05, 0.9),
        ("sparse", 5.0, 0.5),
        ("exponential", 0.2, 0.2 * math.log((1 + math.exp(5)) / 2)),
        ("exponential", 5.0, 5 * math.log((1 + math.exp(0.2)) / 2)),
    ],
)
def test_v_learns_what_the_penalty_leaves_of_the_best_that_is_paid(
    regularizer: str, alpha: float, level: float
) -> None:
    """Half of the data's actions pay 0, half 1."""
    engine = make_engine("sql", two_modes(), regularizer=regularizer, alpha=alpha, **FAST)
    engine.train(250)
    assert engine.metrics()["value/mean"] == pytest.approx(level, abs=0.05)
    assert (share_near(GOOD, engine, 0.3) == 1).all()


def test_weights_that_hardly_differ_clone_both_modes() -> None:
    """EQL's can; then the mean lies between them."""
    engine = make_engine(
        "sql", two_modes(), regularizer="exponential", alpha=5.0, sharpness=0.01, **FAST
    )
    engine.train(250)
    assert (share_near(GOOD, engine, 0.3) == 0).all()


def test_the_preflight_says_at_most_that_no_action_is_better_than_v_at_first() -> None:
    sparse = check(SQL, SQLConfig(), OBS_DIM, ACTION_DIM)
    assert sparse in ([], ["actor_loss: the gradient of 'actor' is zero at the start"])
    config = SQLConfig(regularizer="exponential", alpha=2.0)
    assert check(SQL, config, OBS_DIM, ACTION_DIM) == []
