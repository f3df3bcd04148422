"""Scores over gradient steps, of every cell of the comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.report.records import Records
from harness.statistics.intervals import Scores


@dataclass(frozen=True)
class Curve:
    """Scores by gradient step, in points: `seeds` [S], `steps` [N], `scores` [S, N]."""

    seeds: NDArray[np.int64]
    steps: NDArray[np.int64]
    scores: Scores


Curves = dict[tuple[str, str], Curve]  # by task and label


def read_curves(records: Records) -> Curves:
    """The curve of each (task, label), over its finished runs; if none has finished, over all.

    A curve ends where the first of its runs ends, so that every point is over the same seeds.
    """
    cell = ["task", "label"]
    rows = records.evaluations.merge(records.runs[[*cell, "seed", "state"]], on=[*cell, "seed"])
    finished = rows["state"] == "done"
    any_finished = finished.groupby([rows[name] for name in cell]).transform("any")
    by_step = rows[finished | ~any_finished].groupby([*cell, "seed", "step"])
    # All cells at once: pandas takes milliseconds for a table, however small it is.
    means = by_step["normalized_score"].mean().unstack("step")
    seeds = means.index.get_level_values("seed").to_numpy(np.int64)
    steps, scores = means.columns.to_numpy(np.int64), means.to_numpy(np.float64)
    curves = {}
    for places in means.groupby(cell).indices.values():
        task, label, _ = means.index[places[0]]
        shared = ~np.isnan(scores[places]).any(axis=0)
        if shared.any():
            found = scores[np.ix_(places, shared)]
            curves[task, label] = Curve(seeds[places], steps[shared], found)
    return curves
