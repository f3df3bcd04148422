"""What all runs of a method on several tasks say together (Agarwal et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.statistics.intervals import (
    Interval,
    Scores,
    average,
    average_interval,
    wilson_interval,
)

FEWEST_SEEDS = 10  # below, intervals of these are too narrow: docs/statistics.md measures it
SOLVED = 100.0  # points; the score of which the optimality gap is short


def interquartile_mean(strata: Sequence[Scores]) -> float:
    """Mean of the middle half of all runs pooled over tasks."""
    pooled = np.sort(np.concatenate(strata))
    cut = len(pooled) // 4
    return float(np.mean(pooled[cut : len(pooled) - cut]))


def optimality_gap(strata: Sequence[Scores]) -> tuple[float, Interval]:
    """By how many points runs are short of 100, those above counting as 0; and its interval."""
    short = [np.maximum(0.0, SOLVED - scores) for scores in strata]
    return average(short), average_interval(short)


def probability_of_improvement(x: Sequence[Scores], y: Sequence[Scores]) -> tuple[float, Interval]:
    """P(a run of `x` beats a run of `y` on a random task), ties one half; and its interval.

    It is Mann and Whitney's U / (n m), averaged over tasks. The interval is Wilson's of as many
    trials as there are disjoint pairs of runs, of which U uses more: it is somewhat too wide.
    """
    per_task = [0.5 + 0.5 * np.mean(np.sign(a[:, None] - b)) for a, b in zip(x, y, strict=True)]
    pairs = sum(min(len(a), len(b)) for a, b in zip(x, y, strict=True))
    share = float(np.mean(per_task))
    return share, wilson_interval(share, pairs)


def performance_profile(strata: Sequence[Scores], levels: Scores) -> tuple[Scores, list[Interval]]:
    """The share of runs above each level [N], every task counting the same; with intervals."""
    above = [np.mean(scores[:, None] > levels, axis=0) for scores in strata]
    shares = np.mean(above, axis=0)
    runs = sum(map(len, strata))
    return shares, [wilson_interval(float(share), runs) for share in shares]
