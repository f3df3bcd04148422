"""Means, spreads and their 95% intervals, in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

Scores = NDArray[np.float64]
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A 95% confidence interval; NaN bounds where one seed says nothing of spread."""

    low: float
    high: float


UNKNOWN = Interval(math.nan, math.nan)


def standard_deviation(scores: Scores) -> float:
    """Spread over seeds with ddof=1; NaN for one seed, which has none."""
    return float(np.std(scores, ddof=1)) if len(scores) > 1 else math.nan


def average(strata: Sequence[Scores]) -> float:
    """Mean of the task means: every task counts the same however many seeds it has."""
    return float(np.mean([np.mean(scores) for scores in strata]))


def t_interval(scores: Scores) -> Interval:
    """Student's t interval of the mean over seeds."""
    return average_interval([scores])


def average_interval(strata: Sequence[Scores]) -> Interval:
    """Interval of `average`: Welch-Satterthwaite's t. With one task it is Student's."""
    if any(len(scores) < 2 for scores in strata):
        return UNKNOWN
    return t_bounds(average(strata), *standard_error(strata))


def standard_error(strata: Sequence[Scores]) -> tuple[float, float]:
    """Of `average`, with Welch-Satterthwaite's degrees of freedom."""
    return welch(
        [
            (float(np.var(scores, ddof=1)) / len(scores) / len(strata) ** 2, len(scores) - 1)
            for scores in strata
        ]
    )


def welch(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The standard error of a sum of independent means, with Welch-Satterthwaite's dof.

    parts: the squared standard error of each mean, and its degrees of freedom.
    """
    total = sum(variance for variance, _ in parts)
    if total == 0.0:
        return 0.0, 1.0
    # Shares, not squares of variances: these underflow.
    return math.sqrt(total), 1 / sum((v / total) ** 2 / freedom for v, freedom in parts)


def wilson_interval(share: float, trials: int) -> Interval:
    """Wilson's (1927) score interval of a probability; `share` need not be a whole count."""
    z = float(ndtri((1 + CONFIDENCE) / 2))
    weight = trials / (trials + z**2)
    centre = weight * share + (1 - weight) / 2
    half = weight * z * math.sqrt((share * (1 - share) + z**2 / (4 * trials)) / trials)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def t_bounds(centre: float, error: float, dof: float) -> Interval:
    """Student's t interval about a number with a standard error of so many degrees of freedom."""
    half = float(stdtrit(dof, (1 + CONFIDENCE) / 2)) * error
    return Interval(centre - half, centre + half)
