"""The cosine schedule against the official code's numbers, and steps back against Bayes' rule."""

from __future__ import annotations

import math

import pytest
import torch

from algorithms.blocks.plan_diffusion import CosineSchedule, begin_with
from tests.algorithms import temporal_reference


@pytest.mark.parametrize("steps", [1, 2, 20, 200])
def test_signals_are_products_of_clipped_betas(steps: int) -> None:
    schedule = CosineSchedule(steps)
    expected = [1.0, *temporal_reference.signals(steps)]
    assert list(schedule.signals) == pytest.approx(expected, rel=1e-9)
    found = schedule.signal(torch.arange(steps + 1.0))
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-6)


def test_every_step_is_picked_as_often() -> None:
    picked = CosineSchedule(4).pick(torch.linspace(0, 1, 401)[:-1])
    assert picked.unique(return_counts=True)[1].tolist() == [100] * 4
    assert picked.unique().tolist() == [1, 2, 3, 4]


def test_noise_is_added_by_the_signal_and_taken_off_again() -> None:
    schedule, generator = CosineSchedule(6), torch.Generator().manual_seed(0)
    plans, noise = torch.randn(2, 1, 3, 4, 5, generator=generator)
    x = schedule.add_noise(plans, noise, torch.full((1, 3, 1), 4.0))
    signal = temporal_reference.signals(6)[3]
    torch.testing.assert_close(x, math.sqrt(signal) * plans + math.sqrt(1 - signal) * noise)
    torch.testing.assert_close(schedule.predicted(x, noise, 4), plans, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("step", [1, 3, 6])
def test_a_step_back_is_bayes_rule(step: int) -> None:
    """q(x_{k-1} | x_k, x_0) ∝ q(x_k | x_{k-1}) q(x_{k-1} | x_0), of three Gaussians."""
    schedule = CosineSchedule(6)
    before, signal = [1.0, *temporal_reference.signals(6)][step - 1 : step + 1]
    kept, x, plan = signal / before, torch.tensor(0.7), torch.tensor(-0.4)
    if step == 1:  # x_0 is known
        mean, variance = float(plan), 0.0
    else:
        precision = kept / (1 - kept) + 1 / (1 - before)
        weighted = math.sqrt(kept) * 0.7 / (1 - kept) - math.sqrt(before) * 0.4 / (1 - before)
        mean, variance = weighted / precision, 1 / precision
    assert schedule.variance(step) == pytest.approx(variance)
    for noise in (0.0, 1.5):
        found = schedule.previous(x, plan, torch.tensor(noise), step)
        assert float(found) == pytest.approx(mean + math.sqrt(variance) * noise, rel=1e-5)


@pytest.mark.parametrize("obs_dim", [2, 3])
def test_only_the_first_observation_is_set(obs_dim: int) -> None:
    plans, observations = torch.zeros(1, 2, 4, 3), torch.ones(1, 2, obs_dim)
    found = begin_with(plans, observations)
    assert (found[:, :, 0, 3 - obs_dim :] == 1).all()
    assert float(found.sum()) == 2 * obs_dim
    assert not plans.any()
