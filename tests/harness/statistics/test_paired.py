from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from harness.statistics.paired import holm, paired_difference


@pytest.mark.parametrize("pairs", [2, 6])
def test_on_one_task_it_is_scipys_paired_t_test(pairs: int) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(60, 9, pairs), rng.normal(55, 9, pairs)
    found, expected = paired_difference([x - y]), scipy.stats.ttest_rel(x, y)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)
    assert (found.mean, found.pairs) == (pytest.approx(x.mean() - y.mean()), pairs)


def test_pairing_sees_what_an_unpaired_test_does_not() -> None:
    rng = np.random.default_rng(1)
    seeds = rng.normal(50, 20, 5)
    x, y = seeds + 10 + rng.normal(0, 2, 5), seeds + rng.normal(0, 2, 5)
    assert paired_difference([x - y]).p < 0.01 < 0.3 < scipy.stats.ttest_ind(x, y).pvalue


def test_p_and_interval_agree_over_several_tasks() -> None:
    rng = np.random.default_rng(2)
    strata = [rng.normal(0, spread, 5) for spread in (1.0, 4.0, 9.0)]
    centred = [scores - scores.mean() for scores in strata]
    half = paired_difference(centred).interval.high
    for shift, significant in ((half * 0.99, False), (half * 1.01, True)):
        assert (paired_difference([s + shift for s in centred]).p < 0.05) is significant


def test_differences_without_spread_are_told_apart_unless_they_are_zero() -> None:
    assert paired_difference([np.zeros(5)]).p == 1.0
    assert paired_difference([np.full(5, 0.25)]).p == 0.0


def test_one_pair_has_a_difference_and_no_test() -> None:
    found = paired_difference([np.array([3.0])])
    assert (found.mean, found.pairs) == (3.0, 1)
    assert math.isnan(found.p)


def test_holm_by_hand() -> None:
    # .01 x 4; .02 x 3; .03 x 2, which ties with the one before; .5
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_leaves_out_what_could_not_be_tested() -> None:
    first, none, last = holm([0.01, math.nan, 0.04])
    assert (first, last) == (pytest.approx(0.02), pytest.approx(0.04))
    assert math.isnan(none)


def test_holm_rejects_what_the_step_down_procedure_rejects() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        p = rng.uniform(0, 0.1, 6)
        rejected = np.zeros(6, bool)
        for step, place in enumerate(np.argsort(p)):
            if p[place] > 0.05 / (6 - step):
                break
            rejected[place] = True
        assert list(np.array(holm(list(p))) <= 0.05) == list(rejected)
