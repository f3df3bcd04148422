from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from harness.statistics import aggregates


def test_interquartile_mean_is_scipys_trimmed_mean_of_all_runs() -> None:
    rng = np.random.default_rng(0)
    strata = [rng.normal(0, 1, 10), rng.normal(5, 1, 13)]
    expected = scipy.stats.trim_mean(np.concatenate(strata), 0.25)
    assert aggregates.interquartile_mean(strata) == pytest.approx(expected)


def test_optimality_gap_counts_what_is_short_of_a_hundred_only() -> None:
    strata = [np.array([90.0, 150.0]), np.array([100.0, 60.0])]
    gap, (low, high) = aggregates.optimality_gap(strata)
    assert gap == pytest.approx((10 / 2 + 40 / 2) / 2)
    assert low < gap < high


def test_probability_of_improvement_is_mann_whitneys_u_and_reads_forwards() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(3, 9, 10).astype(float), rng.integers(0, 6, 12).astype(float)
    share, _ = aggregates.probability_of_improvement([x], [y])
    assert share == pytest.approx(scipy.stats.mannwhitneyu(x, y).statistic / 120)
    assert share > 0.5  # x is the better one
    back, _ = aggregates.probability_of_improvement([y], [x])
    assert share + back == pytest.approx(1.0)


def test_an_unbroken_row_of_wins_is_no_certainty() -> None:
    x, y = np.arange(10.0) + 100, np.arange(10.0)
    share, (low, high) = aggregates.probability_of_improvement([x], [y])
    assert (share, high) == (1.0, 1.0)
    assert low == pytest.approx(10 / (10 + 1.959964**2), rel=1e-6)  # Wilson's, for 10 of 10


def test_profile_is_the_share_of_runs_above_a_level() -> None:
    strata = [np.array([0.0, 50.0, 100.0, 100.0]), np.array([10.0, 20.0, 30.0, 40.0])]
    shares, bounds = aggregates.performance_profile(strata, np.array([-1.0, 25.0, 100.0]))
    assert list(shares) == [1.0, (3 / 4 + 2 / 4) / 2, 0.0]
    assert all(low <= share <= high for share, (low, high) in zip(shares, bounds, strict=True))
