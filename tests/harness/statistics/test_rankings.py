from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kendalltau

from harness.statistics.rankings import kendall_tau, leave_one_out_tau, tau_interval


def test_tau_of_a_case_by_hand() -> None:
    """Of six pairs of methods one is in another order: (5 - 1) / 6."""
    assert kendall_tau(np.array([1.0, 2, 3, 4]), np.array([10.0, 30, 20, 40])) == pytest.approx(
        4 / 6
    )


@pytest.mark.parametrize("levels", [3, 6, 1000])
def test_tau_is_scipys_with_and_without_ties(levels: int) -> None:
    rng = np.random.default_rng(levels)
    for methods in (2, 4, 7, 20):
        for _ in range(20):
            x, y = rng.integers(0, levels, (2, methods)).astype(np.float64)
            wanted = float(kendalltau(x, y).statistic)
            assert kendall_tau(x, y) == pytest.approx(wanted, abs=1e-12, nan_ok=True)


def test_a_level_side_has_no_ranking() -> None:
    assert math.isnan(kendall_tau(np.array([1.0, 2, 3]), np.array([5.0, 5, 5])))


def test_each_task_is_compared_with_the_mean_of_the_others_by_hand() -> None:
    """Tasks 1 and 3 beside (1, 2.5, 2.5), which ties two: 2 / √(3 · 2); task 2 beside (1, 2, 3)."""
    scores = np.array([[1.0, 1, 1], [2, 3, 2], [3, 2, 3]])
    wanted = (2 * 2 / math.sqrt(6) + 1 / 3) / 3
    assert leave_one_out_tau(scores) == pytest.approx(wanted)
    assert math.isnan(leave_one_out_tau(scores[:, :1]))


@pytest.mark.parametrize("true_tau", [0.0, 0.5, 0.8])
def test_intervals_hold_the_truth(true_tau: float) -> None:
    """Six methods, whose scores are no normal numbers but monotone functions of such."""
    rng = np.random.default_rng(7)
    correlation = math.sin(math.pi * true_tau / 2)
    held = []
    for _ in range(400):
        x, noise = rng.standard_normal((2, 6))
        y = np.exp(correlation * x + math.sqrt(1 - correlation**2) * noise)
        low, high = tau_interval(round(kendall_tau(x**3, y), 9), 6)
        held.append(low <= true_tau <= high)
    assert 0.93 <= np.mean(held) <= 1.0


def test_intervals_narrow_with_methods_and_are_none_below_four() -> None:
    few, many = tau_interval(1.0, 4), tau_interval(1.0, 10)
    assert few.low < 0.0 < 0.6 < many.low < 1.0
    assert few.high == many.high == 1.0
    low, high = tau_interval(1 / 3, 6)
    assert tau_interval(-1 / 3, 6) == (-high, -low)
    assert math.isnan(tau_interval(1.0, 3).low)


def test_the_ends_are_populations_in_which_such_a_tau_is_as_rare_as_said() -> None:
    """Greiner's relation: bivariate normal scores of correlation sin(π τ / 2) have that τ."""
    methods, draws, sample = 6, 20_000, 0.6
    low, high = tau_interval(sample, methods)
    rng = np.random.default_rng(3)
    first, second = np.triu_indices(methods, 1)
    for end, is_rare in ((low, np.greater_equal), (high, np.less_equal)):
        r = math.sin(math.pi * end / 2)
        scores = rng.multivariate_normal([0, 0], [[1, r], [r, 1]], (draws, methods))
        ahead = scores[:, first] > scores[:, second]
        taus = np.round(2 * np.mean(ahead[..., 0] == ahead[..., 1], axis=-1) - 1, 9)
        assert is_rare(taus, sample).mean() == pytest.approx(0.025, abs=0.004)
