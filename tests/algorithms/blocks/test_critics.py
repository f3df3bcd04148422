"""Shared critics: expectiles, IQL's two losses and advantages, by hand and against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from algorithms.base import Batch, Networks
from algorithms.blocks.critics import (
    advantage,
    advantage_scale,
    data_values,
    expectile_loss,
    iql_critic_loss,
    lower_confidence_bound,
    mean_squared_error,
    monte_carlo_critic_loss,
    scaled_advantage,
)
from tests.algorithms.reference import Function, batch_of, closed_form


def test_expectile_loss_weighs_the_two_signs() -> None:
    difference = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
    loss = expectile_loss(difference, 0.75)
    torch.testing.assert_close(loss, torch.tensor([1.0, 0.25, 0.0, 0.75, 3.0]))


def test_expectile_one_half_is_half_the_squared_error() -> None:
    difference = torch.linspace(-3, 3, 13)
    torch.testing.assert_close(expectile_loss(difference, 0.5), difference.square() / 2)


@pytest.mark.parametrize("expectile", [0.1, 0.5, 0.7, 0.9])
def test_the_minimiser_is_the_sample_expectile(expectile: float) -> None:
    sample = np.random.default_rng(0).gamma(2.0, size=200)
    center = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([center], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = expectile_loss(torch.tensor(sample) - center, expectile).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert float(center.detach()) == pytest.approx(stats.expectile(sample, expectile), rel=1e-4)


def test_mean_squared_error_sums_over_members_and_averages_over_the_batch() -> None:
    prediction = torch.tensor([[[1.0, 2.0], [0.0, 5.0]]])  # one seed, two members, two samples
    error = mean_squared_error(prediction, torch.tensor([[1.0, 3.0]]))
    assert error.tolist() == [(0 + 1) / 2 + (1 + 4) / 2]


def test_the_lower_confidence_bound_by_hand() -> None:
    q = torch.tensor([[[1.0, 5.0], [3.0, 5.0]]])  # means 2 and 5, deviations 1 and 0
    torch.testing.assert_close(lower_confidence_bound(q, 0.5), torch.tensor([[1.5, 5.0]]))
    assert torch.equal(lower_confidence_bound(q, 0.0), q.mean(1))


def test_the_lower_confidence_bound_has_a_slope_where_all_critics_agree() -> None:
    q = torch.ones(1, 4, 3, requires_grad=True)
    lower_confidence_bound(q, 2.0).sum().backward()
    torch.testing.assert_close(q.grad, torch.full((1, 4, 3), 0.25))


def _batch(masks: list[float]) -> Batch:
    """One seed, two transitions: s = 1, 2; s' = 10, 20; r = 0.5, -1; returns 0.2, -0.6."""
    column = lambda *values: torch.tensor(values).view(1, -1, 1)  # noqa: E731
    return batch_of(
        observations=column(1.0, 2.0),
        actions=column(0.5, -0.5),
        rewards=torch.tensor([[0.5, -1.0]]),
        next_observations=column(10.0, 20.0),
        masks=torch.tensor([masks]),
        returns=torch.tensor([[0.2, -0.6]]),
    )


def _constant_critics() -> Networks:
    """V(s) = s / 10; the twins say Q = 1 and 2, their targets 0.4 and 0.6."""

    def constants(*values: float) -> Function:
        return lambda *_: torch.tensor(values).view(1, -1, 1).expand(1, -1, 2)

    return closed_form(
        {"value": lambda s: s[..., 0] / 10, "critic": constants(1.0, 2.0)},
        target={"critic": constants(0.4, 0.6)},
    )


def test_iql_losses_of_two_transitions_by_hand() -> None:
    loss, metrics, _ = iql_critic_loss(
        _constant_critics(), _batch([1.0, 0.0]), discount=0.9, expectile=0.8
    )
    # V: min target Q - V = 0.4 - (0.1, 0.2) = 0.3, 0.2, both positive: weight 0.8.
    value_loss = 0.8 * (0.3**2 + 0.2**2) / 2
    # Q: targets 0.5 + 0.9 * 1 = 1.4 and, being terminal, -1.
    critic_loss = ((1 - 1.4) ** 2 + (1 + 1) ** 2) / 2 + ((2 - 1.4) ** 2 + (2 + 1) ** 2) / 2
    assert float(metrics["value/loss"]) == pytest.approx(value_loss)
    assert float(metrics["critic/loss"]) == pytest.approx(critic_loss)
    assert float(loss) == pytest.approx(value_loss + critic_loss)
    assert float(metrics["value/mean"]) == pytest.approx(0.15)
    assert float(metrics["critic/mean"]) == pytest.approx(1.5)


def test_monte_carlo_losses_of_two_transitions_by_hand() -> None:
    """Q goes to the returns, whatever follows; V to the target Q as in IQL."""
    loss, metrics = monte_carlo_critic_loss(_constant_critics(), _batch([1.0, 0.0]), 0.8)
    value_loss = 0.8 * (0.3**2 + 0.2**2) / 2
    critic_loss = ((1 - 0.2) ** 2 + (1 + 0.6) ** 2) / 2 + ((2 - 0.2) ** 2 + (2 + 0.6) ** 2) / 2
    assert float(metrics["value/loss"]) == pytest.approx(value_loss)
    assert float(metrics["critic/loss"]) == pytest.approx(critic_loss)
    assert float(metrics["value/mean"]) == pytest.approx(0.15)
    assert float(loss) == pytest.approx(value_loss + critic_loss)
    ended, _ = monte_carlo_critic_loss(_constant_critics(), _batch([0.0, 0.0]), 0.8)
    assert torch.equal(ended, loss)


def test_the_mask_alone_decides_whether_to_bootstrap() -> None:
    """A time limit has mask 1 (see test_engine_randomness) and so the next value counts."""

    def critic_loss(masks: list[float]) -> float:
        _, metrics, _ = iql_critic_loss(
            _constant_critics(), _batch(masks), discount=0.9, expectile=0.8
        )
        return float(metrics["critic/loss"])

    first_bootstraps = (0.4**2 + 0.6**2) / 2
    first_ends = (0.5**2 + 1.5**2) / 2
    second_bootstraps = (0.2**2 + 1.2**2) / 2  # target -1 + 0.9 * 2 = 0.8
    second_ends = (2.0**2 + 3.0**2) / 2
    assert critic_loss([1.0, 1.0]) == pytest.approx(first_bootstraps + second_bootstraps)
    assert critic_loss([0.0, 1.0]) == pytest.approx(first_ends + second_bootstraps)
    assert critic_loss([0.0, 0.0]) == pytest.approx(first_ends + second_ends)


def test_iql_gradients_reach_only_the_regressed_predictions() -> None:
    """dV comes from the expectile alone, dQ from the backup on the earlier V alone."""
    v, q = torch.tensor(0.0, requires_grad=True), torch.tensor(0.0, requires_grad=True)
    nets = closed_form(
        {"value": lambda _: v.expand(1, 2), "critic": lambda *_: q.expand(1, 2, 2)},
        frozen={"value": lambda _: torch.ones(1, 2)},
        target={"critic": lambda *_: torch.full((1, 2, 2), 0.4)},
    )
    loss, _, _ = iql_critic_loss(nets, _batch([1.0, 1.0]), discount=0.9, expectile=0.8)
    loss.sum().backward()
    assert float(v.grad) == pytest.approx(-2 * 0.8 * 0.4)
    assert float(q.grad) == pytest.approx(-2 * ((0.5 + 0.9) + (-1 + 0.9)))  # two members


def _two_seeds() -> tuple[Networks, Batch]:
    """Twins 1 and s, V = 2 s, on states 0, 1 of the first seed and 2, 3 of the second."""
    s = torch.tensor([[[0.0], [1.0]], [[2.0], [3.0]]])
    a = torch.zeros(2, 2, 1)

    def critic(s: Tensor, _actions: Tensor) -> Tensor:
        return torch.stack([1 + 0 * s[..., 0], s[..., 0]], 1)

    flat = a[..., 0]
    nets = closed_form({"critic": critic, "value": lambda s: 2 * s[..., 0]})
    return nets, batch_of(s, a, flat, s, flat, flat)


def test_advantage_is_the_smaller_q_less_v_in_units_of_the_scale() -> None:
    nets, batch = _two_seeds()
    s, a = batch.observations, batch.actions
    assert advantage(nets, s, a).tolist() == [[0.0, -1.0], [-3.0, -5.0]]
    scaled = scaled_advantage(nets, s, a, torch.tensor([0.5, 4.0]))
    assert scaled.tolist() == [[0.0, -2.0], [-0.75, -1.25]]


def test_a_scaled_advantage_is_that_of_the_clipped_action() -> None:
    nets = closed_form(
        {"critic": lambda _s, a: a.sum(-1).unsqueeze(1).expand(-1, 2, -1), "value": _zero_value}
    )
    actions = torch.tensor([[[3.0, 0.5], [-9.0, 1.0]]])
    scaled = scaled_advantage(nets, torch.zeros(1, 2, 1), actions, torch.ones(1))
    assert scaled.tolist() == [[1.5, 0.0]]


def test_the_scale_is_the_mean_size_of_the_datas_advantage() -> None:
    """|min Q − V| = 0, 1 and 3, 5."""
    assert advantage_scale(data_values(*_two_seeds())).tolist() == [0.5, 4.0]


def test_the_scale_of_vanishing_advantages_is_not_zero() -> None:
    nets = closed_form({"critic": lambda *_: torch.zeros(1, 2, 2), "value": _zero_value})
    zeros = torch.zeros(1, 2, 1)
    scale = advantage_scale(data_values(nets, _batch([1.0, 1.0])))
    assert float(scale) > 0
    assert scaled_advantage(nets, zeros, zeros, scale).tolist() == [[0.0, 0.0]]


def _zero_value(s: Tensor) -> Tensor:
    return torch.zeros(s.shape[:2])
