"""Aggregate statistics as tables for readers, one set per family of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from harness.report.comparison import Comparison
from harness.report.layout import MISSING, Grid, GridRow, Text, points
from harness.report.panels import count_of_seeds
from harness.report.sections.aggregates.pools import Pool

MOST_COLUMNS = 7  # of a matrix in words; larger ones are figures alone


def aggregate_grids(
    comparison: Comparison, pools: Sequence[Pool], numbers: Mapping[str, pd.DataFrame]
) -> list[Grid]:
    """IQM, optimality gap and rank, and P(better) of every pair."""
    grids = []
    for pool in pools:
        marks = {label: comparison.mark(label, pool.family.tasks) for label in pool.strata}
        grids.append(_statistics(pool, numbers["aggregates"], marks))
        if 1 < len(pool.strata) <= MOST_COLUMNS:
            grids.append(_matrix(pool, numbers["improvements"], marks))
    return grids


def _statistics(pool: Pool, table: pd.DataFrame, marks: Mapping[str, str]) -> Grid:
    here = table[table["family"] == pool.family.name]
    rows = []
    for line in here.to_dict("records"):
        label, texts = str(line["algorithm"]), []
        for name in ("iqm", "optimality_gap", "rank"):
            low, high = points(line[f"{name}_ci95_low"]), points(line[f"{name}_ci95_high"])
            texts += [Text(points(line[name]), mark=marks[label]), Text(f"[{low}, {high}]")]
        rows.append(GridRow(label, tuple(texts)))
    columns = ("IQM", "95% interval", "Optimality gap", "95% interval", "Rank", "95% interval")
    seeds = count_of_seeds(pool.seed_counts)
    tasks = len(pool.family.tasks)
    counts = f"{tasks} task{'s' if tasks > 1 else ''}, {seeds}"
    title = f"Aggregates on {pool.family.name} ({counts})"
    return Grid(title, ("Algorithm", *columns), tuple(rows))


def _matrix(pool: Pool, table: pd.DataFrame, marks: Mapping[str, str]) -> Grid:
    here = table[table["family"] == pool.family.name].to_dict("records")
    pairs = {(line["algorithm"], line["other"]): line for line in here}
    labels = list(pool.strata)

    def text(label: str, other: str) -> Text:
        if label == other:
            return Text(MISSING)
        line = pairs[label, other]
        low, high = line["p_better_ci95_low"], line["p_better_ci95_high"]
        note = f"{low:.2f} to {high:.2f}"
        bold = not low <= 0.5 <= high
        return Text(f"{line['p_better']:.2f}", note=note, bold=bold, mark=marks[label])

    rows = (GridRow(label, tuple(text(label, other) for other in labels)) for label in labels)
    title = f"P(row better than column) on {pool.family.name}"
    return Grid(title, ("Algorithm", *labels), tuple(rows))
