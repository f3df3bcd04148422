"""How often 95% intervals hold the truth, for the kinds of scores that seeds give.

Every score is a function of a standard normal number, so that two methods with the same seeds can
have numbers that go together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from harness.statistics.aggregates import interquartile_mean, probability_of_improvement
from harness.statistics.bootstrap import resamples
from harness.statistics.intervals import Interval, Scores, average_interval, t_interval
from harness.statistics.paired import paired_difference

SEEDS = (3, 5, 10)
SIMULATIONS = 2_000
CORRELATION = 0.9  # of the normal draws that two methods' runs with the same seed are made of
SPREADS = (0.25, 0.5, 1.0, 2.0)  # of the tasks of an average, times the population's
FAILING = 0.2
_DRAWS = 1_000  # resamples of an IQM
_LARGE = 200_000  # draws that stand for a population


@dataclass(frozen=True)
class Coverage:
    """The share of simulations whose interval of a statistic held the truth."""

    statistic: str
    population: str
    seeds: int
    share: float


def normal(z: Scores) -> Scores:
    """Scores around 60 with a standard deviation of 10."""
    return 60 + 10 * z


def two_valued(z: Scores) -> Scores:
    """0 or 100, as likely."""
    return np.where(z > 0, 100.0, 0.0)


def with_failures(z: Scores) -> Scores:
    """Around 80 with a standard deviation of about 5, but 20% of the runs are about 0."""
    return np.where(ndtr(z) < FAILING, 0.0, 75.0) + 5 * z


POPULATIONS: dict[str, Callable[[Scores], Scores]] = {
    "normal": normal,
    "two-valued": two_valued,
    "20% failures": with_failures,
}


def simulate(simulations: int = SIMULATIONS) -> Iterator[Coverage]:
    """The coverage of every statistic, population and number of seeds; the same each time."""
    for name, population in POPULATIONS.items():
        known = population(np.random.default_rng(1).standard_normal(_LARGE))
        truth = float(known.mean())
        tasks = [truth + spread * (known - truth) for spread in SPREADS]
        middle = interquartile_mean(tasks)
        for seeds in SEEDS:
            rng = np.random.default_rng(2)
            found = [_one(population, seeds, truth, rng) for _ in range(simulations)]
            truths = {
                "t interval of a cell": truth,
                "Welch average of four tasks": truth,
                "paired t difference": 0.0,
                "IQM of four tasks, bootstrap": middle,
                "P(better) over four tasks, Wilson": 0.5,
            }
            for statistic, value in truths.items():
                bounds = [intervals[statistic] for intervals in found]
                held = [low - 1e-9 <= value <= high + 1e-9 for low, high in bounds]
                yield Coverage(statistic, name, seeds, float(np.mean(held)))


def _one(
    population: Callable[[Scores], Scores], seeds: int, centre: float, rng: np.random.Generator
) -> dict[str, Interval]:
    """The intervals of one simulated experiment: two equally good methods, seeds, four tasks."""
    shared, own = rng.standard_normal((2, 2, len(SPREADS), seeds))
    other = CORRELATION * shared[0] + math.sqrt(1 - CORRELATION**2) * own[0]
    cell, paired = population(shared[0, 0]), population(other[0])

    def strata(z: Scores) -> list[Scores]:
        scores = population(z)
        return [
            centre + spread * (row - centre) for spread, row in zip(SPREADS, scores, strict=True)
        ]

    here, there = strata(shared[0]), strata(shared[1])
    drawn = resamples((seeds,) * len(SPREADS), _DRAWS)
    _, better = probability_of_improvement(here, there)
    return {
        "t interval of a cell": t_interval(cell),
        "Welch average of four tasks": average_interval(here),
        "paired t difference": paired_difference([cell - paired]).interval,
        "IQM of four tasks, bootstrap": drawn.interval(drawn.interquartile_means(here)),
        "P(better) over four tasks, Wilson": better,
    }
