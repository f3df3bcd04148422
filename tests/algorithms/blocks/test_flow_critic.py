"""A flow as a critic: the histogram of z, the network that sees it, and where z ends."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from algorithms.blocks.flow_critic import FlowCritic, flow_value, gaussian_histogram
from tests.algorithms.reference import members


def test_shares_are_those_of_a_truncated_normal_distribution() -> None:
    x = torch.tensor([[-4.0], [0.3], [2.0]], dtype=torch.float64)
    edges = torch.tensor([-2.0, -0.5, 1.0, 2.5, 4.0], dtype=torch.float64)
    cumulative = Normal(x, 0.8 * 1.5).cdf(edges)
    expected = cumulative.diff(dim=1) / (cumulative[:, -1:] - cumulative[:, :1])
    torch.testing.assert_close(gaussian_histogram(x, -2.0, 4.0, 4, 0.8), expected)


@pytest.mark.parametrize("sigma", [0.1, 16.0])
def test_shares_are_numbers_however_far_away_x_is(sigma: float) -> None:
    shares = gaussian_histogram(torch.tensor([[-1e6], [1e6], [1e30]]), -1.0, 2.0, 50, sigma)
    assert torch.isfinite(shares).all()
    torch.testing.assert_close(shares.sum(-1), torch.ones(3))
    assert shares.argmax(-1).tolist() == [0, 49, 49]


def test_each_critic_sees_the_pair_and_its_own_z_as_a_histogram_and_the_time_as_a_cosine() -> None:
    network = FlowCritic(3, 2, (8, 8), low=-1.0, high=3.0, bins=6, sigma=1.5)
    params = network.init(torch.Generator().manual_seed(0))
    s, a = torch.randn(1, 5, 3), torch.randn(1, 5, 2)
    z, t = torch.randn(1, 2, 5, 1), torch.rand(1, 2, 5, 1)
    found = network({k: v.unsqueeze(0) for k, v in params.items()}, s, a, z, t)
    for e, mlp in enumerate(members(network.mlp, params)):
        histogram = gaussian_histogram(z[0, e], -1.0, 3.0, 6, 1.5)
        inputs = torch.cat([s[0], a[0], histogram, torch.cos(t[0, e])], 1)
        torch.testing.assert_close(found[0, e], mlp(inputs), rtol=1e-4, atol=1e-6)


def test_z_follows_the_velocity_in_euler_steps_at_their_own_times() -> None:
    """dz/dt = z + 6 t + a_1, by hand in two steps."""

    def velocity(_s: Tensor, a: Tensor, z: Tensor, t: Tensor) -> Tensor:
        return z + 6 * t + a[:, None, :, :1]

    start = torch.tensor([[[[2.0]], [[4.0]]]])
    ends = flow_value(velocity, torch.zeros(1, 1, 3), torch.ones(1, 1, 2), start, 2)
    expected = [(z + (z + 1) / 2) + ((z + (z + 1) / 2) + 3 + 1) / 2 for z in (2.0, 4.0)]
    assert ends.flatten().tolist() == pytest.approx(expected)
