"""A run's score by a protocol, and the cell of a row on a task: the scores of its seeds."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.errors import UserError
from harness.runs.suite_file import SuiteFile
from harness.statistics import intervals
from harness.statistics.intervals import Interval, Scores
from harness.statistics.protocols import Protocol

_RUN = ["task", "label", "seed"]


@dataclass(frozen=True)
class Cell:
    """One row on one task: scores of its finished seeds, in points.

    Attributes:
        episode_error: sd over seeds that the noise of the runs' evaluation episodes gives by
            itself, in points; NaN for one episode.
    """

    seeds: NDArray[np.int64]  # [finished seeds]
    scores: Scores  # [finished seeds]
    episode_error: float
    planned: int  # seeds
    failed: int  # seeds

    @property
    def mean(self) -> float:
        return float(self.scores.mean())

    @property
    def std(self) -> float:
        """With ddof=1; NaN for one seed."""
        return intervals.standard_deviation(self.scores)

    @property
    def interval(self) -> Interval:
        return intervals.t_interval(self.scores)

    @property
    def episode_share(self) -> float:
        """Of the variance over seeds, what the noise of episodes explains, at most 1; or NaN."""
        variance = self.std**2
        share = self.episode_error**2 / variance if variance > 0 else math.nan
        return 1.0 if share > 1 else share


def score_cells(suite: SuiteFile, scores: pd.DataFrame) -> dict[tuple[str, str], Cell]:
    """By task and label, from a score per planned run, or NaN; see `Comparison.scores`."""
    cell = ["task", "label"]
    planned = scores.groupby(cell).size().to_dict()
    failed = scores[scores["state"] == "failed"].groupby(cell).size().to_dict()
    done = scores.dropna(subset="score")
    places, none = done.groupby(cell).indices, np.array([], np.intp)
    seeds = done["seed"].to_numpy(np.int64)
    found, errors = (done[name].to_numpy(np.float64) for name in ("score", "episode_error"))
    cells = {}
    for key in itertools.product((task.id for task in suite.tasks), (r.label for r in suite.rows)):
        here = places.get(key, none)
        cells[key] = Cell(
            seeds=seeds[here],
            scores=found[here],
            episode_error=math.sqrt(np.mean(errors[here] ** 2)) if len(here) else math.nan,
            planned=planned.get(key, 0),
            failed=failed.get(key, 0),
        )
    return cells


def final_scores(evaluations: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """One line per run and action selection, with its score and episode error, in points.

    Raises UserError if a run has too few evaluations.
    """
    key = [*_RUN, "action_selection"]
    by_step = evaluations.groupby([*key, "step"])["normalized_score"]
    table = by_step.agg(["mean", "var", "count"]).reset_index()
    means = table["mean"].to_numpy(np.float64)
    variances = (table["var"] / table["count"]).to_numpy(np.float64)
    first = np.flatnonzero(~table.duplicated(key))
    ends = np.append(first[1:], len(table))[: len(first)]  # none where nothing has finished
    found = table.loc[first, key].reset_index(drop=True)
    scored = []
    for place, (start, end) in enumerate(zip(first, ends, strict=True)):
        if end - start < protocol.evaluations:
            task, label, seed, _ = found.loc[place]
            raise UserError(
                f"The protocol '{protocol.name}' needs {protocol.evaluations} evaluations a run, "
                f"and {label} on {task}, seed {seed}, has {end - start}: name another one, as in "
                f"`harness report SUITE --protocol last`."
            )
        scored.append(protocol.score(means[start:end], variances[start:end]))
    columns = ["score", "episode_error"]
    return found.join(pd.DataFrame(scored, columns=columns, dtype=np.float64))
