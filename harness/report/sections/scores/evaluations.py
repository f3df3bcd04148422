"""What to know of the evaluations behind a score: where they begin, and whether they still move."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.report.comparison import ALPHA, Comparison, Group
from harness.report.curves import Curves
from harness.runs.suite_file import SuiteFile
from harness.statistics.paired import FEWEST_PAIRS, Difference, holm, paired_difference


def start_notes(suite: SuiteFile, curves: Curves) -> Iterator[str]:
    """Which rows have fewer evaluations than the suite asks for, as they pretrain first."""
    every = suite.evaluation.every
    planned = max(1, math.ceil(suite.evaluation.first / every)) * every
    starts: dict[int, dict[str, None]] = {}
    for (_, label), curve in curves.items():
        if curve.steps[0] > planned:
            starts.setdefault(int(curve.steps[0]), {})[label] = None
    if starts:
        said = [f"{', '.join(starts[step])} (from step {step:,} on)" for step in sorted(starts)]
        yield f"Not evaluated while they pretrain: {'; '.join(said)}."


def slope_notes(comparison: Comparison, curves: Curves) -> Iterator[str]:
    """A sentence on each family with rows that move: more steps might change their order."""
    count = comparison.protocol.evaluations
    for family in comparison.ranking:
        moving: dict[str, list[str]] = {"rise": [], "fall": []}
        for label, slope in moving_rows(family, comparison, curves).items():
            moving["rise" if slope.mean > 0 else "fall"].append(f"{label} by {_spread(slope)}")
        if said := [f"these {way}: {', '.join(rows)}" for way, rows in moving.items() if rows]:
            yield (
                f"NOT FLAT on {family.name}: from the first to the last of the {count} evaluations "
                f"that scores are the mean of, {'; '.join(said)} (on average over the tasks, with "
                "95% intervals; p < 5% after Holm's correction over the rows). More steps, or "
                "another protocol, may change the order."
            )


def moving_rows(family: Group, comparison: Comparison, curves: Curves) -> dict[str, Difference]:
    """The rows that are told to rise or to fall over the evaluations that scores are the mean of.

    Of a row's runs, the last of these evaluations minus the first of them.
    """
    if comparison.protocol.evaluations < 2 or comparison.protocol.selects_online:
        return {}
    slopes = _slopes(family, comparison, curves)
    corrected = holm([slope.p for slope in slopes.values()])
    return {
        label: slope
        for (label, slope), p in zip(slopes.items(), corrected, strict=True)
        if p < ALPHA
    }


def _slopes(family: Group, comparison: Comparison, curves: Curves) -> dict[str, Difference]:
    """By label, where every task of the family has five finished seeds."""
    count, found = comparison.protocol.evaluations, {}
    for label in comparison.labels:
        runs = [comparison.cells[task, label].seeds for task in family.tasks]
        if min(map(len, runs)) >= FEWEST_PAIRS:
            scores = [curves[task, label].scores for task in family.tasks]
            found[label] = paired_difference([curve[:, -1] - curve[:, -count] for curve in scores])
    return found


def _spread(slope: Difference) -> str:
    half = (slope.interval.high - slope.interval.low) / 2
    return f"{abs(slope.mean):.1f} ± {half:.1f}"
