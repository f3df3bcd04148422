"""FAWAC against Eq. 10 of arXiv:2502.02538 in plain PyTorch, and by hand."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch

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
    random_noise,
    record,
)
from tests.algorithms.small import make_engine
from tests.baselines.bandit import GOOD, POOR, share_near, two_modes
from tests.baselines.flow_actor_critic import GAMMA, flow_errors, td_loss


@pytest.mark.parametrize(
    ("aggregation", "alpha", "bound"), [("mean", 1.0, 100.0), ("min", 0.5, 1.1)]
)
def test_training_equals_plain_pytorch(
    aggregation: str, alpha: float, bound: float, transitions: Transitions
) -> None:
    engine = make_engine(
        "fawac",
        transitions,
        learning_rate=3e-3,
        tau=0.05,
        discount=GAMMA,
        flow_steps=4,
        alpha=alpha,
        max_weight=bound,
        q_aggregation=aggregation,
    )
    names = ("flow", "value", "critic")
    starts = [[learned(engine, name, slot) for name in names] for slot in (0, 1)]
    seen = record(engine)
    engine.train(6)
    weights = []
    for slot, nets in enumerate(starts):
        (flow,), (value,), critic = nets
        target = copy.deepcopy(critic)
        adam = torch.optim.Adam([p for net in nets for p in net.parameters()], lr=3e-3)
        for batch, noise in of_seed(seen, slot):
            s, a = batch.observations, batch.actions
            v = value(s)[:, 0]
            with torch.no_grad():
                weight = torch.exp(alpha * (q_values(critic, s, a).mean(0) - v)).clip(max=bound)
                goal = q_values(target, s, a).mean(0)
            weights.append(weight.max())
            loss = (weight[:, None] * flow_errors(flow, batch, noise)).mean()
            loss = loss + ((v - goal) ** 2).mean()
            loss = loss + td_loss(
                critic, target, flow, batch, noise, steps=4, aggregation=aggregation
            )
            adam.zero_grad()
            loss.backward()
            adam.step()
            polyak(target, critic, 0.05)
        for name, net in zip(names, nets, strict=True):
            assert_same_weights(learned(engine, name, slot), net)
        assert_same_weights(learned(engine, "critic", slot, "targets"), target)
    assert (max(weights) == bound) == (bound == 1.1)  # the bound was met, or was not


def test_each_transition_weighs_the_exponential_of_its_advantage_at_most_the_bound() -> None:
    """A = 3 − 2 weighs exp(0.5), A = 20 no more than 8; the flow says 9 everywhere."""
    batch = random_batch(1, 2)
    nets = closed_form(
        {"flow": lambda _s, x, _t: torch.full_like(x, 9.0)},
        frozen={
            "critic": lambda *_: torch.tensor([[[2.0, 30.0], [4.0, 10.0]]]),
            "value": lambda _: torch.tensor([[2.0, 0.0]]),
        },
    )
    algorithm: Any = make_algorithm("fawac", alpha=0.5, max_weight=8.0)
    noise = random_noise(algorithm.noise, 1, 2)
    loss, metrics = algorithm.flow_loss(nets, batch, noise)
    first, second = (9.0 - (batch.actions - noise["x0"])).square().mean(-1)[0].tolist()
    assert float(loss) == pytest.approx((math.exp(0.5) * first + 8 * second) / 2, rel=1e-5)
    assert float(metrics["flow/weight"]) == pytest.approx((math.exp(0.5) + 8) / 2)


def test_the_value_is_of_the_target_twins_mean_at_the_datas_actions() -> None:
    """Target twins 1 and 3, V = −1; the trained critic must go unnoticed."""
    batch = random_batch(1, 2)
    nets = closed_form(
        {
            "critic": lambda *_: torch.full((1, 2, 2), 1e6),
            "value": lambda _: torch.full((1, 2), -1.0),
        },
        target={"critic": lambda *_: torch.tensor([[[1.0, 1.0], [3.0, 3.0]]])},
    )
    algorithm: Any = make_algorithm("fawac")
    loss, _ = algorithm.value_loss(nets, batch)
    assert float(loss) == pytest.approx(9.0)


@pytest.mark.parametrize(("alpha", "shares"), [(10.0, (0.95, 1.0)), (0.0, (0.35, 0.65))])
def test_clones_the_mode_that_pays_at_a_low_temperature_and_both_at_none(
    alpha: float, shares: tuple[float, float]
) -> None:
    engine = make_engine(
        "fawac",
        two_modes(),
        offline_steps=150,
        hidden_dims=(32, 32),
        batch_size=64,
        learning_rate=1e-2,
        alpha=alpha,
    )
    engine.train(150)
    good, poor = (share_near(mode, engine, 0.9) for mode in (GOOD, POOR))
    share = good / (good + poor)
    assert ((shares[0] <= share) & (share <= shares[1])).all()
    assert (good + poor > 0.9).all()
