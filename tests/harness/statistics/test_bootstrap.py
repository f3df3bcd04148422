from __future__ import annotations

import os
import subprocess
import sys
from itertools import product

import numpy as np
import pytest

from harness.statistics.aggregates import interquartile_mean
from harness.statistics.bootstrap import ranks, resamples


def all_ordered_draws(strata: list[np.ndarray]) -> list[list[np.ndarray]]:
    per_task = [[s[list(draw)] for draw in product(range(len(s)), repeat=len(s))] for s in strata]
    return [list(draws) for draws in product(*per_task)]


def test_few_seeds_are_enumerated_with_the_probabilities_of_all_ordered_draws() -> None:
    strata = [np.array([0.0, 1.0, 5.0]), np.array([2.0, 3.0, 11.0])]
    listed = resamples((3, 3))
    assert listed.exact
    assert len(listed.weights) == 10 * 10
    found: dict[float, float] = {}
    for value, weight in zip(listed.interquartile_means(strata), listed.weights, strict=True):
        found[round(value, 9)] = found.get(round(value, 9), 0.0) + weight
    expected: dict[float, float] = {}
    draws = all_ordered_draws(strata)
    for draw in draws:
        value = round(interquartile_mean(draw), 9)
        expected[value] = expected.get(value, 0.0) + 1 / len(draws)
    assert found == pytest.approx(expected)


def test_ten_seeds_of_one_task_are_enumerated_and_twenty_of_two_drawn() -> None:
    ten = resamples((10,))
    assert ten.exact
    assert ten.weights.sum() == pytest.approx(1.0)
    assert (ten.counts[0].sum(axis=0) == 10).all()
    assert not resamples((10, 10), draws=100).exact


def test_drawn_resamples_have_the_variance_that_theory_gives_their_mean() -> None:
    rng = np.random.default_rng(0)
    strata = [rng.normal(0, 1, 10), rng.normal(0, 3, 12)]
    means = resamples((10, 12)).averages([strata])[0]
    expected = sum(s.var() / len(s) for s in strata) / 4
    assert means.var() == pytest.approx(expected, rel=0.03)
    assert means.mean() == pytest.approx(np.mean([s.mean() for s in strata]), abs=0.02)


def test_drawn_interquartile_means_are_those_of_the_drawn_runs() -> None:
    rng = np.random.default_rng(1)
    strata = [rng.normal(0, 1, 10), rng.normal(0, 3, 11)]
    drawn = resamples((10, 11), draws=50)
    found = drawn.interquartile_means(strata)
    for place in range(50):
        runs = [np.repeat(s, c[:, place]) for s, c in zip(strata, drawn.counts, strict=True)]
        assert found[place] == pytest.approx(interquartile_mean(runs))


def test_percentiles_of_an_enumeration_by_hand() -> None:
    # Means of two draws from 0 and 2: 0 and 2 with 1/4 each, 1 with 1/2.
    two = resamples((2,))
    assert two.interval(two.averages([[np.array([0.0, 2.0])]])[0]) == (0.0, 2.0)
    # Of three from 0, 0, 1 all are 1 with probability 1/27 > 2.5%, of four with 1/256.
    three = resamples((3,))
    assert three.interval(three.averages([[np.array([0.0, 0.0, 1.0])]])[0]) == (0.0, 1.0)
    four = resamples((4,))
    assert four.interval(four.averages([[np.array([0.0, 0.0, 0.0, 1.0])]])[0]) == (0.0, 0.75)


def test_ranks_count_from_the_best_and_ties_share() -> None:
    averages = np.array([[3.0, 1.0], [2.0, 1.0], [1.0, 2.0]])
    assert ranks(averages).T.tolist() == [[1.0, 2.0, 3.0], [2.5, 2.5, 1.0]]


THREADED = """
import hashlib
import numpy as np
from harness.statistics.bootstrap import ranks, resamples
scores = np.random.default_rng(0).normal(size=(5, 2, 10))
drawn = resamples((10, 10))
averages = drawn.averages([list(method) for method in scores])
print(hashlib.sha256(averages.tobytes()).hexdigest(), [drawn.mean(x) for x in ranks(averages)])
"""


def test_no_bit_depends_on_the_number_of_threads() -> None:
    """A report that is made again leaves every byte as it was."""
    found = {
        subprocess.run(
            [sys.executable, "-c", THREADED],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for threads in ("1", "2", "4")
    }
    assert len(found) == 1


def test_a_mean_over_resamples_is_weighted_by_their_probability() -> None:
    """Resampled means are right on average, and of two seeds the middle resample counts twice."""
    listed = resamples((3, 2))
    scores = [np.array([0.0, 1.0, 5.0]), np.array([2.0, 8.0])]
    assert listed.mean(listed.averages([scores])[0]) == pytest.approx((2.0 + 5.0) / 2)
    two = resamples((2,))
    squares = two.averages([[np.array([0.0, 2.0])]])[0] ** 2
    assert two.mean(squares) == pytest.approx((0 + 1 + 1 + 4) / 4)
