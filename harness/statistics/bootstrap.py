"""The bootstrap over seeds, stratified by task; all of its resamples where they are few.

A resample is kept as how often it drew each seed. Of n seeds there are only (2n-1)!/(n!(n-1)!) such
counts: where they can be listed, with the probability of each, no bound depends on chance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from harness.statistics.intervals import CONFIDENCE, Interval, Scores

DRAWS = 50_000
MOST_LISTED = 100_000  # ten seeds on one task have 92,378
_SEED = 0


@dataclass(frozen=True)
class Resamples:
    """Resamples of the seeds of several tasks.

    Attributes:
        counts: by task, how often each seed was drawn, [seeds, resamples].
        weights: probability of each resample, [resamples].
        exact: whether these are all that there are.
    """

    counts: tuple[NDArray[np.int16], ...]
    weights: Scores
    exact: bool

    def averages(self, methods: Sequence[Sequence[Scores]]) -> Scores:
        """The mean of the task means of each method in every resample, [methods, resamples].

        Added up one seed after another: a product of matrices rounds by the number of threads.
        """
        total = np.zeros((len(methods), len(self.weights)))
        for task, counts in enumerate(self.counts):
            scores = np.array([strata[task] for strata in methods])
            for seed, count in enumerate(counts):
                total += scores[:, seed, None] * (count / len(counts))
        return total / len(self.counts)

    def mean(self, values: Scores) -> float:
        """The mean of a statistic's values, one per resample."""
        return math.fsum(values * self.weights)

    def interquartile_means(self, strata: Sequence[Scores]) -> Scores:
        """The mean of the middle half of every resample's runs.

        Runs are taken in the order of their scores, in all resamples at once: each adds its score
        as often as the resample has it between the lower and the upper quarter.
        """
        scores, counts = np.concatenate(strata), np.concatenate(self.counts)
        low = len(scores) // 4
        high = len(scores) - low
        total = np.zeros(len(self.weights))
        seen = np.zeros(len(self.weights), np.int32)  # runs so far, lower ones
        inside = np.clip(seen, low, high)
        for run in np.argsort(scores):
            seen += counts[run]
            until = np.clip(seen, low, high)
            total += scores[run] * (until - inside)
            inside = until
        return total / (high - low)

    def interval(self, values: Scores) -> Interval:
        """The 95% percentile interval of a statistic's values, one per resample."""
        order = np.argsort(values)
        cumulated = np.cumsum(self.weights[order])
        tail = (1 - CONFIDENCE) / 2
        # The margin is for rounding, where probabilities add up to exactly a tail.
        places = np.searchsorted(cumulated, [tail - 1e-9, 1 - tail - 1e-9])
        low, high = values[order[np.minimum(places, len(values) - 1)]]
        return Interval(float(low), float(high))


@lru_cache(maxsize=8)
def resamples(seeds: tuple[int, ...], draws: int = DRAWS) -> Resamples:
    """Resamples for tasks of so many seeds: all of them, or `draws`, always the same."""
    listed = math.prod(math.comb(2 * n - 1, n) for n in seeds)
    return _all(seeds) if listed <= MOST_LISTED else _drawn(seeds, draws)


def ranks(averages: Scores) -> Scores:
    """The rank of every method in every resample, both [methods, resamples]; 1 is the best.

    Methods that are level share the mean of their ranks.
    """
    found = np.empty_like(averages)
    for place, own in enumerate(averages):
        ahead = np.count_nonzero(averages > own, axis=0)
        level = np.count_nonzero(averages == own, axis=0)
        found[place] = 0.5 + ahead + 0.5 * level
    return found


def _drawn(seeds: tuple[int, ...], draws: int) -> Resamples:
    rng = np.random.default_rng(_SEED)
    counts = []
    for n in seeds:
        chosen = rng.integers(0, n, (n, draws), dtype=np.int16)
        per_seed = [np.count_nonzero(chosen == seed, axis=0) for seed in range(n)]
        counts.append(np.array(per_seed, np.int16))
    return Resamples(tuple(counts), np.full(draws, 1 / draws), exact=False)


def _all(seeds: tuple[int, ...]) -> Resamples:
    per_task = [_multisets(n) for n in seeds]
    places = np.indices([len(weights) for _, weights in per_task]).reshape(len(seeds), -1)
    counts = [c[:, place] for (c, _), place in zip(per_task, places, strict=True)]
    weights = [w[place] for (_, w), place in zip(per_task, places, strict=True)]
    return Resamples(tuple(counts), np.prod(weights, axis=0), exact=True)


def _multisets(n: int) -> tuple[NDArray[np.int16], Scores]:
    """Every way to draw n times from n seeds as counts [n, ways], and its probability [ways]."""
    drawn = np.array(list(combinations_with_replacement(range(n), n)), np.int16)
    counts = np.array([np.count_nonzero(drawn == seed, axis=1) for seed in range(n)], np.int16)
    factorials = np.array([math.factorial(count) for count in range(n + 1)], np.float64)
    return counts, math.factorial(n) / n**n / np.prod(factorials[counts], axis=0)
