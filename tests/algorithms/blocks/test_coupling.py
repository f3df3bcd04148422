"""Optimal-transport coupling: shorter paths, the same noise, and the state's own where it counts.

The optimum is SciPy's linear assignment; everything else is a property.
"""

from __future__ import annotations

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from algorithms.blocks.coupling import transport_noise


def _draw(*shape: int, stream: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(stream))


def _uniform(seeds: int, size: int, stream: int = 9) -> Tensor:
    return torch.rand(seeds, size, 1, generator=torch.Generator().manual_seed(stream))


def test_paths_are_nearly_as_short_as_the_best_assignment_of_noise_to_actions() -> None:
    seeds, size = 4, 32
    actions, x0 = _draw(seeds, size, 2, stream=0), _draw(seeds, size, 2, stream=1)
    noise = transport_noise(torch.zeros(seeds, size, 1), actions, x0, _uniform(seeds, size), 0.0)

    def length(noise: Tensor) -> Tensor:
        return (noise - actions).square().sum(-1).mean(-1)

    for s in range(seeds):
        cost = torch.cdist(x0[s], actions[s]).square()
        rows, columns = linear_sum_assignment(cost)
        best = float(cost[rows, columns].mean())
        assert float(length(noise)[s]) < 1.6 * best
        assert float(length(noise)[s]) < 0.5 * float(length(x0)[s])


@pytest.mark.parametrize("state_weight", [0.0, 1.0])
def test_over_many_draws_every_noise_is_taken_about_once(state_weight: float) -> None:
    """So the coupled noise is N(0, I) still: only its pairing with the actions has changed."""
    seeds, size = 1000, 16
    observations, actions, x0 = (_draw(1, size, 2, stream=i) for i in (0, 1, 2))
    copies = [x.expand(seeds, size, 2) for x in (observations, 3 + actions, x0)]
    noise = transport_noise(*copies, _uniform(seeds, size), state_weight)
    taken = (noise[:, :, None] == x0[0]).all(-1)
    assert (taken.sum(2) == 1).all()  # each is one of the batch's own
    counts = taken.sum((0, 1)) / seeds
    torch.testing.assert_close(counts, torch.ones(size), rtol=0, atol=0.15)


def test_coupled_noise_is_standard_normal_and_follows_the_actions() -> None:
    seeds, size = 200, 64
    actions, x0 = 0.5 + 0.2 * _draw(seeds, size, 1, stream=0), _draw(seeds, size, 1, stream=1)
    noise = transport_noise(torch.zeros(seeds, size, 1), actions, x0, _uniform(seeds, size), 0.0)
    assert float(noise.mean()) == pytest.approx(0, abs=0.03)
    assert float(noise.std()) == pytest.approx(1, abs=0.03)
    pairs = torch.stack([noise.flatten(), actions.flatten()])
    assert float(torch.corrcoef(pairs)[0, 1]) > 0.85


def test_a_large_weight_leaves_states_far_apart_their_own_noise() -> None:
    observations = torch.eye(8).repeat(2, 1, 1)
    actions, x0 = _draw(2, 8, 3, stream=0), _draw(2, 8, 3, stream=1)
    noise = transport_noise(observations, actions, x0, _uniform(2, 8), 1e4)
    assert torch.equal(noise, x0)
    unweighted = transport_noise(observations, actions, x0, _uniform(2, 8), 0.0)
    assert not torch.equal(unweighted, x0)


def test_the_weight_keeps_noise_independent_of_the_state() -> None:
    """a = s = ±1: transport on actions alone would give each state noise of its own sign."""
    seeds, size = 200, 32
    observations = torch.where(torch.arange(size) % 2 == 0, 1.0, -1.0).view(1, size, 1)
    observations = observations.repeat(seeds, 1, 1)
    x0 = _draw(seeds, size, 1, stream=1)

    def mean_for_positive_states(state_weight: float) -> float:
        noise = transport_noise(observations, observations, x0, _uniform(seeds, size), state_weight)
        return float(noise[observations > 0].mean())

    assert mean_for_positive_states(0.0) > 0.6
    assert mean_for_positive_states(100.0) == pytest.approx(0, abs=0.05)


def test_without_a_weight_the_states_do_not_matter() -> None:
    actions, x0 = _draw(2, 8, 2, stream=0), _draw(2, 8, 2, stream=1)
    first, second = (
        transport_noise(_draw(2, 8, 3, stream=i), actions, x0, _uniform(2, 8), 0.0) for i in (2, 3)
    )
    assert torch.equal(first, second)


def test_a_seeds_coupling_is_its_own_and_carries_no_gradient() -> None:
    observations, actions, x0 = (_draw(3, 8, 2, stream=i) for i in range(3))
    uniform = _uniform(3, 8)
    leaves = [x.clone().requires_grad_() for x in (observations, actions, x0)]
    together = transport_noise(*leaves, uniform, 1.0)
    assert not together.requires_grad
    alone = transport_noise(observations[1:2], actions[1:2], x0[1:2], uniform[1:2], 1.0)
    assert torch.equal(together[1], alone[0])
