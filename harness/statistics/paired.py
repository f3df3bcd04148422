"""Differences between two methods that were run with the same seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from harness.statistics.intervals import (
    Interval,
    Scores,
    average,
    average_interval,
    standard_error,
)

FEWEST_PAIRS = 5  # below, a test finds next to nothing, and 'not told apart' says nothing


@dataclass(frozen=True)
class Difference:
    """A mean difference in points, averaged over tasks.

    Attributes:
        p: two-sided, of the paired t-test; NaN where a task has fewer than two pairs.
        pairs: seeds that both sides have, on the task with the fewest.
    """

    mean: float
    interval: Interval
    p: float
    pairs: int


def paired_difference(differences: Sequence[Scores]) -> Difference:
    """The paired t-test of differences by seed, one array per task of at least one.

    With several tasks it is of the mean of the tasks' means, by Welch-Satterthwaite's t.
    """
    mean, interval = average(differences), average_interval(differences)
    pairs = min(map(len, differences))
    if pairs < 2:
        return Difference(mean, interval, math.nan, pairs)
    error, dof = standard_error(differences)
    if error == 0.0:
        return Difference(mean, interval, float(mean == 0.0), pairs)
    return Difference(mean, interval, 2 * float(stdtr(dof, -abs(mean) / error)), pairs)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down correction: p-values for 'any wrong among all'; NaN stays NaN."""
    p = np.asarray(p_values, np.float64)
    corrected = np.full(len(p), math.nan)
    order = [int(i) for i in np.argsort(p) if not math.isnan(p[i])]
    steps = [(len(order) - rank) * p[i] for rank, i in enumerate(order)]
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if steps else []
    return [float(value) for value in corrected]
