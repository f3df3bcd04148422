"""Mean flow against differences along the path, a flow that is known, and by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from algorithms.blocks.mean_flow import mean_flow_loss, mean_flow_target


def _draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def _wavy(observations: Tensor, x: Tensor, time: Tensor) -> Tensor:
    return torch.sin(x * (1 + time)) * observations[..., :2] + time**2


def test_the_target_follows_the_path() -> None:
    """x_t moves by v; dg/dt by central differences in double precision."""
    s, x = _draw(2, 5, 3).double(), _draw(2, 5, 2).double()
    v = _draw(2, 2, 5).double().mT
    time = torch.linspace(0.05, 0.95, 10).double().view(2, 5, 1)
    g, target = mean_flow_target(_wavy, s, x, v, time)
    h = 1e-5
    rate = (_wavy(s, x + h * v, time + h) - _wavy(s, x - h * v, time - h)) / (2 * h)
    torch.testing.assert_close(g, _wavy(s, x, time))
    torch.testing.assert_close(target, x - (1 - time) * v - time * rate)


def test_a_known_flow_is_its_own_target() -> None:
    """All data are one action: u = (x − a) / t, which no other time of the path changes."""
    a = torch.tensor([0.3, -0.6])
    e, time = _draw(2, 5, 2), torch.linspace(0.1, 1, 10).view(2, 5, 1)

    def known(_s: Tensor, x: Tensor, time: Tensor) -> Tensor:
        return x - (x - a) / time

    actions = a.expand(2, 5, 2)
    x = (1 - time) * actions + time * e
    g, target = mean_flow_target(known, _draw(2, 5, 3), x, e - actions, time)
    torch.testing.assert_close(g, target, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(g[1, 4], a, rtol=1e-4, atol=1e-5)  # at t = 1 the action
    loss = mean_flow_loss(known, _draw(2, 5, 3), actions, e, time, power=0.2)
    assert float(loss.max()) < 1e-9


@pytest.mark.parametrize(("power", "expected"), [(0.0, 6.5), (1.0, 6.5 / 6.5001)])
def test_errors_are_weighed_and_their_targets_bounded(power: float, expected: float) -> None:
    """g = 0 at t = 1, so the target is x = e = (2, 20), bounded to (2, 5): δ² = (4 + 9) / 2."""
    level = torch.tensor([0.0, 2.0], requires_grad=True)

    def constant(_s: Tensor, x: Tensor, time: Tensor) -> Tensor:
        return level + 0 * x * time

    e = torch.tensor([[[2.0, 20.0]]])
    loss = mean_flow_loss(
        constant, _draw(1, 1, 3), _draw(1, 1, 2), e, torch.ones(1, 1, 1), power=power
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.sum().backward()
    weight = expected / 6.5
    assert level.grad is not None
    assert level.grad.tolist() == pytest.approx([-2 * weight, -3 * weight], rel=1e-4)
