"""Scores over gradient steps, of every cell of the comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.report.records import Records
from harness.statistics.intervals import Scores


@dataclass(frozen=True)
class Curve:
    """Scores by gradient step, in points: `steps` [N], `scores` [seeds, N]."""

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
    curves = {}
    for (task, label), chosen in rows[finished | ~any_finished].groupby(cell):
        table = chosen.pivot_table(index="seed", columns="step", values="normalized_score")
        table = table.dropna(axis="columns")
        if table.empty:
            continue
        curves[str(task), str(label)] = Curve(
            table.columns.to_numpy(np.int64), table.to_numpy(np.float64)
        )
    return curves
