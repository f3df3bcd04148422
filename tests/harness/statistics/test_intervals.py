from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
import scipy.stats

from harness.statistics import intervals
from harness.statistics.intervals import Scores


def array(*scores: float) -> Scores:
    return np.array(scores, np.float64)


def test_t_interval_is_scipys() -> None:
    scores = array(50.0, 55.0, 51.0)
    expected = scipy.stats.t.interval(0.95, 2, scores.mean(), scipy.stats.sem(scores))
    assert intervals.t_interval(scores) == pytest.approx(expected, rel=1e-12)


def test_one_seed_has_neither_spread_nor_interval() -> None:
    assert math.isnan(intervals.standard_deviation(array(50.0)))
    assert all(math.isnan(bound) for bound in intervals.t_interval(array(50.0)))


def test_spread_divides_by_one_less_than_the_seeds() -> None:
    assert intervals.standard_deviation(array(1.0, 2.0, 6.0)) == pytest.approx(math.sqrt(7.0))


def test_average_gives_every_task_the_same_weight() -> None:
    assert intervals.average([array(0.0, 0.0, 0.0), array(10.0)]) == 5.0


def test_interval_of_an_average_over_equal_tasks_has_their_degrees_of_freedom() -> None:
    scores = array(1.0, 2.0, 3.0)
    low, high = intervals.average_interval([scores, scores + 10, scores + 20])
    half = scipy.stats.t.ppf(0.975, 6) * scores.std(ddof=1) / 3
    assert (low, high) == pytest.approx((12 - half, 12 + half), rel=1e-12)


def test_unpaired_differences_are_welchs() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(3, 1, 4), rng.normal(0, 5, 7)
    expected = scipy.stats.ttest_ind(x, y, equal_var=False).confidence_interval(0.95)
    parts = [(side.var(ddof=1) / len(side), len(side) - 1) for side in (x, y)]
    found = intervals.t_bounds(x.mean() - y.mean(), *intervals.welch(parts))
    assert found == pytest.approx(tuple(expected), rel=1e-9)


def test_tiny_spreads_do_not_underflow() -> None:
    low, high = intervals.t_interval(array(0.0, 1e-170, 2e-170))
    assert high - low == pytest.approx(2 * scipy.stats.t.ppf(0.975, 2) * 1e-170 / math.sqrt(3))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.525, 1.0])
def test_wilson_bounds_are_where_the_score_test_is_at_its_limit(share: float) -> None:
    low, high = intervals.wilson_interval(share, 40)
    assert 0 <= low <= share + 1e-12 <= high + 1e-12 <= 1 + 1e-12
    z = NormalDist().inv_cdf(0.975)
    for bound in (bound for bound in (low, high) if 1e-9 < bound < 1 - 1e-9):
        assert abs(share - bound) == pytest.approx(z * math.sqrt(bound * (1 - bound) / 40))
