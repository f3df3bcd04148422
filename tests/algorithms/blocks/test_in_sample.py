"""The exponential loss of in-sample V against its closed form."""

from __future__ import annotations

import math

import pytest
import torch

from algorithms.blocks.in_sample import linex_loss


def slope(q: torch.Tensor, v: float, beta: float) -> float:
    """Of the mean loss, as v changes."""
    value = torch.tensor(v, dtype=q.dtype, requires_grad=True)
    z = (q - value) / beta
    linex_loss(z, z).mean().backward()
    return float(value.grad)


@pytest.mark.parametrize("beta", [0.1, 1.0, 5.0])
def test_gumbel_regression_rests_at_the_soft_maximum_of_a_discrete_distribution(
    beta: float,
) -> None:
    """β log E exp(x / β), for values 0, 1 and 3 of which 1 is twice as likely."""
    q = torch.tensor([[0.0, 1.0, 1.0, 3.0]], dtype=torch.float64)
    soft = beta * math.log((1 + 2 * math.exp(1 / beta) + math.exp(3 / beta)) / 4)
    assert slope(q, soft, beta) == pytest.approx(0, abs=1e-12)
    assert slope(q, soft - 0.01, beta) < 0 < slope(q, soft + 0.01, beta)


def test_the_loss_by_hand_and_divided_by_its_largest_exponential_or_at_least_by_one_over_e() -> (
    None
):
    x, y = torch.tensor([[0.5, 2.0], [-3.0, -4.0]]), torch.tensor([[0.4, 2.5], [-3.0, -5.0]])
    expected = torch.exp(x) - y - 1
    factor = torch.tensor([[math.exp(2)], [math.exp(-1)]])
    torch.testing.assert_close(linex_loss(x, y), expected / factor)


def test_an_exponent_beyond_floats_has_a_finite_loss_and_slope() -> None:
    x = torch.tensor([[200.0, 0.0]], requires_grad=True)
    loss = linex_loss(x, x)
    loss.sum().backward()
    assert loss.isfinite().all()
    torch.testing.assert_close(x.grad, torch.tensor([[1.0, 0.0]]))
