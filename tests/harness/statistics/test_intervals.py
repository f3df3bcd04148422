from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from harness.report import stats

RNG = np.random.default_rng(7)


def array(*scores: float) -> stats.Scores:
    return np.array(scores, np.float64)


@pytest.mark.parametrize("dof", [*range(1, 31), 1.37, 2.5, 3.999, 47.3, 900.0, 1e6])
def test_t_quantile_agrees_with_scipy(dof: float) -> None:
    assert stats.t_quantile(dof) == pytest.approx(scipy.stats.t.ppf(0.975, dof), rel=2e-4)


def test_interval_of_a_cell_is_scipys_t_interval() -> None:
    scores = array(71.0, 80.5, 77.25)
    low, high = stats.t_interval(scores)
    expected = scipy.stats.t.interval(0.95, 2, scores.mean(), scipy.stats.sem(scores))
    assert (low, high) == pytest.approx(expected, rel=1e-4)


def test_one_seed_gives_no_interval_rather_than_a_narrow_one() -> None:
    assert all(math.isnan(bound) for bound in stats.t_interval(array(50.0)))
    assert math.isnan(stats.bootstrap_interval([array(50.0), array(1.0, 2.0)], stats.average).low)


def test_spread_is_the_population_standard_deviation() -> None:
    assert stats.population_std(array(1.0, 2.0, 6.0)) == pytest.approx(math.sqrt(14 / 3))


def test_every_task_weighs_the_same_in_an_average_of_unequal_seed_counts() -> None:
    assert float(stats.average([array(0.0, 0.0, 0.0), array(10.0)])) == 5.0


@pytest.mark.parametrize("count", [1, 3, 4, 9, 14])
def test_interquartile_mean_is_scipys_trimmed_mean(count: int) -> None:
    scores = RNG.normal(50, 20, count)
    halves = [scores[: count // 2], scores[count // 2 :]]
    expected = scipy.stats.trim_mean(scores, 0.25)
    assert float(stats.interquartile_mean(halves)) == pytest.approx(expected)


def test_probability_of_improvement_is_mann_whitney_with_ties_half() -> None:
    x, y = RNG.integers(0, 5, 8).astype(float), RNG.integers(0, 5, 6).astype(float)
    statistic = scipy.stats.mannwhitneyu(x, y).statistic
    assert stats.probability_of_improvement([x], [y]) == pytest.approx(statistic / 48)
    two_tasks = stats.probability_of_improvement([x, array(1.0)], [y, array(0.0)])
    assert two_tasks == pytest.approx((statistic / 48 + 1) / 2)


def test_separation_on_one_task_is_scipys_welch_test() -> None:
    outcomes = set()
    for _ in range(200):
        x = RNG.normal(0.0, RNG.uniform(0.5, 3), RNG.integers(2, 6))
        y = RNG.normal(RNG.uniform(0, 6), RNG.uniform(0.5, 3), RNG.integers(2, 6))
        p = scipy.stats.ttest_ind(x, y, equal_var=False).pvalue
        if abs(p - 0.05) > 1e-3:
            assert stats.separated([x], [y]) == (p < 0.05)
            outcomes.add(bool(p < 0.05))
    assert outcomes == {True, False}


def test_separation_of_averages_matches_a_computation_by_hand() -> None:
    # Two tasks, three seeds, every variance 1: squared standard error 4 * (1/3) / 4, dof 8,
    # t(0.975, 8) = 2.306, so averages are apart from 2.306 / sqrt(3) = 1.331 on.
    spread = array(-1.0, 0.0, 1.0)
    x = [spread + 10, spread + 90]
    assert not stats.separated(x, [spread + 10 - 2.64, spread + 90])
    assert stats.separated(x, [spread + 10 - 2.68, spread + 90])


def test_without_spread_only_equal_averages_are_the_same() -> None:
    assert not stats.separated([array(4.0, 4.0)], [array(4.0, 4.0)])
    assert stats.separated([array(4.0, 4.0)], [array(3.9, 3.9)])


def test_one_seed_is_never_called_tied_with_another_score() -> None:
    assert stats.separated([array(50.0)], [array(49.0, 51.0, 49.5)])
    assert not stats.separated([array(50.0)], [array(50.0)])


def test_interval_of_an_average_covers_the_truth_as_often_as_it_says() -> None:
    """Three seeds on each of four tasks of unequal spread, 2000 times."""
    rng = np.random.default_rng(0)
    spreads = (1.0, 5.0, 10.0, 20.0)
    covered = 0
    for _ in range(2000):
        low, high = stats.average_interval([rng.normal(50, s, 3) for s in spreads])
        covered += low <= 50 <= high
    assert 0.93 < covered / 2000 < 0.99


def test_interval_of_an_average_of_equal_tasks_is_students_with_pooled_freedom() -> None:
    """Equal variances: the error shrinks with √tasks, and the freedoms of the tasks add up."""
    scores = array(1.0, 2.0, 6.0)
    low, high = stats.average_interval([scores, scores + 10, scores + 20])
    half = scipy.stats.t.ppf(0.975, 6) * scores.std(ddof=1) / 3
    assert (low, high) == pytest.approx((13 - half, 13 + half), rel=1e-4)


def test_bootstrap_of_two_seeds_is_the_enumeration_by_hand() -> None:
    # Resampled means of (0, 2) with deviations stretched by sqrt(2): 1 - sqrt(2) and 1 + sqrt(2)
    # a quarter of the time each, so they are the 2.5th and 97.5th percentiles.
    low, high = stats.bootstrap_interval([array(0.0, 2.0)], stats.average)
    assert (low, high) == pytest.approx((1 - math.sqrt(2), 1 + math.sqrt(2)))


def test_bootstrap_of_an_average_approaches_the_normal_interval() -> None:
    strata = [RNG.normal(20 * task, 3 + task, 40) for task in range(4)]
    error = math.sqrt(sum(np.var(s, ddof=1) / len(s) for s in strata)) / len(strata)
    centre = float(stats.average(strata))
    low, high = stats.bootstrap_interval(strata, stats.average)
    assert low == pytest.approx(centre - 1.96 * error, abs=0.05 * error)
    assert high == pytest.approx(centre + 1.96 * error, abs=0.05 * error)


def test_bootstrap_resamples_within_tasks_only() -> None:
    constant = [array(0.0, 0.0, 0.0), array(100.0, 100.0, 100.0)]
    assert stats.bootstrap_interval(constant, stats.average) == (50.0, 50.0)


def test_bootstrap_is_seeded() -> None:
    strata = [RNG.normal(0, 1, 3), RNG.normal(5, 1, 3)]
    first = stats.bootstrap_interval(strata, stats.interquartile_mean)
    np.random.seed(3)  # the global state must not matter
    assert stats.bootstrap_interval(strata, stats.interquartile_mean) == first
