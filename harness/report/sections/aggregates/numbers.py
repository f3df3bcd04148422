"""Aggregate statistics as tables, from which grids and figures are made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd

from harness.report.curves import Curves, read_curves
from harness.report.records import Records
from harness.report.sections.aggregates.pools import Pool
from harness.statistics.aggregates import (
    SOLVED,
    interquartile_mean,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
)
from harness.statistics.bootstrap import ranks, resamples
from harness.statistics.intervals import Interval, Scores

LEVELS = 101  # of a profile
MOST_STEPS = 25  # of a curve
CURVE_DRAWS = 2_000  # resamples for each of a curve's points


def aggregates(pools: Sequence[Pool]) -> pd.DataFrame:
    """One line per family and algorithm: IQM, optimality gap and rank, with 95% intervals."""
    lines = []
    for pool in pools:
        drawn = resamples(pool.seed_counts)
        places = ranks(drawn.averages(list(pool.strata.values())))
        for (label, strata), rank in zip(pool.strata.items(), places, strict=True):
            iqms = drawn.interval(drawn.interquartile_means(strata))
            gap, gaps = optimality_gap(strata)
            lines.append(
                {"family": pool.family.name, "algorithm": label, "tasks": len(strata)}
                | {"seeds": min(pool.seed_counts)}
                | _with_bounds("iqm", interquartile_mean(strata), iqms)
                | _with_bounds("optimality_gap", gap, gaps)
                | _with_bounds("rank", drawn.mean(rank), drawn.interval(rank))
            )
    statistics = [f"{s}{b}" for s in ("iqm", "optimality_gap", "rank") for b in _BOUNDS]
    return pd.DataFrame(lines, columns=["family", "algorithm", "tasks", "seeds", *statistics])


def improvements(pools: Sequence[Pool]) -> pd.DataFrame:
    """One line per family and pair: the chance that a run of `algorithm` beats one of `other`."""
    lines = [
        {"family": pool.family.name, "algorithm": label, "other": other}
        | _with_bounds("p_better", *probability_of_improvement(here, there))
        for pool in pools
        for label, here in pool.strata.items()
        for other, there in pool.strata.items()
        if label != other
    ]
    return _table(lines, "algorithm", "other", *(f"p_better{b}" for b in _BOUNDS))


def profiles(pools: Sequence[Pool]) -> pd.DataFrame:
    """One line per family, algorithm and level: the share of runs that score above it."""
    lines = []
    for pool in pools:
        every = np.concatenate([scores for strata in pool.strata.values() for scores in strata])
        levels = np.linspace(min(0.0, every.min()), max(SOLVED, every.max()), LEVELS)
        for label, strata in pool.strata.items():
            shares, bounds = performance_profile(strata, levels)
            for level, share, interval in zip(levels, shares, bounds, strict=True):
                line = {"family": pool.family.name, "algorithm": label, "level": level}
                lines.append(line | _with_bounds("share", float(share), interval))
    return _table(lines, "algorithm", "level", *(f"share{b}" for b in _BOUNDS))


def efficiency(pools: Sequence[Pool], records: Records) -> pd.DataFrame:
    """One line per family, algorithm and step: the IQM of all runs then."""
    curves = read_curves(records)
    lines = []
    for pool in pools:
        drawn = resamples(pool.seed_counts, CURVE_DRAWS)
        for label in pool.strata:
            for step, strata in _by_step(curves, pool, label):
                interval = drawn.interval(drawn.interquartile_means(strata))
                line = {"family": pool.family.name, "algorithm": label, "step": step}
                lines.append(line | _with_bounds("iqm", interquartile_mean(strata), interval))
    return _table(lines, "algorithm", "step", *(f"iqm{b}" for b in _BOUNDS))


def _by_step(curves: Curves, pool: Pool, label: str) -> list[tuple[int, list[Scores]]]:
    """The scores by task at steps that all tasks have, evenly spaced if there are many."""
    by_task = [curves[task, label] for task in pool.family.tasks]
    shared = [np.isin(curve.seeds, of) for curve, of in zip(by_task, pool.seeds, strict=True)]
    steps = reduce(np.intersect1d, (curve.steps for curve in by_task))
    places = np.linspace(0, len(steps) - 1, min(len(steps), MOST_STEPS)).round().astype(int)
    return [
        (
            int(step),
            [
                curve.scores[chosen, np.searchsorted(curve.steps, step)]
                for curve, chosen in zip(by_task, shared, strict=True)
            ],
        )
        for step in steps[places]
    ]


_BOUNDS = ("", "_ci95_low", "_ci95_high")


def _with_bounds(name: str, value: float, interval: Interval) -> dict[str, Any]:
    return dict(zip((f"{name}{bound}" for bound in _BOUNDS), (value, *interval), strict=True))


def _table(lines: Sequence[dict[str, Any]], *columns: str) -> pd.DataFrame:
    return pd.DataFrame(lines, columns=["family", *columns])
