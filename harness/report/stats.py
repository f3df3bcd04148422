"""Statistics over seeds, in normalized points. Closed forms where they exist, else a bootstrap.

`strata` is always one array of per-seed scores a task, `[seeds]` each; seed counts may differ.
Bootstrap resamples put a leading axis before the seeds, so aggregates work on the last one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
Aggregate = Callable[[Sequence[Scores]], Scores]
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A 95% confidence interval, in points; NaN bounds where one seed says nothing of spread."""

    low: float
    high: float


def population_std(scores: Scores) -> float:
    """Spread over seeds with ddof=0, as tables of D4RL results print it."""
    return float(np.std(scores))


def average(strata: Sequence[Scores]) -> Scores:
    """Mean of the task means: every task counts the same however many seeds it has."""
    return np.asarray(np.mean([np.mean(scores, axis=-1) for scores in strata], axis=0))


def interquartile_mean(strata: Sequence[Scores]) -> Scores:
    """Mean of the middle half of all runs pooled over tasks (Agarwal et al. 2021)."""
    pooled = np.sort(np.concatenate(strata, axis=-1), axis=-1)
    cut = pooled.shape[-1] // 4
    return np.asarray(np.mean(pooled[..., cut : pooled.shape[-1] - cut], axis=-1))


def probability_of_improvement(x: Sequence[Scores], y: Sequence[Scores]) -> float:
    """P(a run of X beats a run of Y) on a random task: Mann-Whitney U / (n m), ties one half."""
    per_task = [0.5 + 0.5 * np.mean(np.sign(a[:, None] - b)) for a, b in zip(x, y, strict=True)]
    return float(np.mean(per_task))


@lru_cache
def t_quantile(dof: float) -> float:
    """Two-sided 95% quantile of Student's t for any real dof >= 1.

    With t = sqrt(dof) tan(angle) the density is cos(angle)^(dof-1) on (-pi/2, pi/2): a smooth
    integral over a finite range, so a fine grid gives five digits without a special function.
    """
    dof = min(dof, 1e4)  # normal to four digits from here on
    angle = np.linspace(0.0, math.pi / 2, 8_001)
    density = np.cos(angle) ** (dof - 1.0)
    mass = np.concatenate(([0.0], np.cumsum((density[1:] + density[:-1]) / 2)))
    return math.sqrt(dof) * math.tan(float(np.interp(CONFIDENCE * mass[-1], mass, angle)))


def t_interval(scores: Scores) -> Interval:
    """Student's t interval of the mean over seeds: honest at three seeds, unlike a bootstrap."""
    return average_interval([scores])


def average_interval(strata: Sequence[Scores]) -> Interval:
    """Interval of the mean of the task means, tasks held fixed: Welch-Satterthwaite's t.

    With three seeds a task it covers the truth as often as it says; a bootstrap of so few does
    not. With one task it is Student's t.
    """
    if any(len(scores) < 2 for scores in strata):
        return Interval(math.nan, math.nan)
    error, dof = _standard_error([strata])
    half = t_quantile(dof) * error
    centre = float(average(strata))
    return Interval(centre - half, centre + half)


def separated(x: Sequence[Scores], y: Sequence[Scores]) -> bool:
    """Whether a two-sided Welch t-test over seeds at 5% tells the two averages apart.

    With several tasks it tests the difference between the means of the task means, treating
    tasks as fixed. A task with a single seed has no spread to test with: only equal averages
    then count as the same.
    """
    if any(len(scores) < 2 for scores in (*x, *y)):
        return float(average(x)) != float(average(y))
    low, high = difference_interval(x, y)
    return not low <= 0.0 <= high


def difference_interval(x: Sequence[Scores], y: Sequence[Scores]) -> Interval:
    """Welch's interval of the average of `x` minus that of `y`; two seeds a task at least."""
    error, dof = _standard_error([x, y])
    half = t_quantile(dof) * error
    centre = float(average(x)) - float(average(y))
    return Interval(centre - half, centre + half)


def _standard_error(sides: Sequence[Sequence[Scores]]) -> tuple[float, float]:
    """Of a sum or difference of the sides' averages, with Welch-Satterthwaite's dof."""
    parts = [
        (float(np.var(scores, ddof=1)) / len(scores) / len(side) ** 2, len(scores) - 1)
        for side in sides
        for scores in side
    ]
    total = sum(variance for variance, _ in parts)
    if total == 0.0:
        return 0.0, 1.0
    return math.sqrt(total), total**2 / sum(v**2 / freedom for v, freedom in parts)


def bootstrap_interval(
    strata: Sequence[Scores], aggregate: Aggregate, resamples: int = 20_000
) -> Interval:
    """Seeded percentile bootstrap, stratified: seeds are resampled within each task.

    Deviations from a task's mean are stretched by sqrt(n / (n - 1)) (Rao and Wu 1988); without
    it, resampling three seeds understates their variance by a third.
    """
    if any(len(scores) < 2 for scores in strata):
        return Interval(math.nan, math.nan)
    rng: Any = np.random.default_rng(0)
    resampled = []
    for scores in strata:
        count = len(scores)
        stretched = scores.mean() + (scores - scores.mean()) * math.sqrt(count / (count - 1))
        resampled.append(stretched[rng.integers(0, count, (resamples, count))])
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(aggregate(resampled), [tail, 100 - tail])
    return Interval(float(low), float(high))
