"""A suite's results as data frames, read as the report reads them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.commands.report import results_of
from harness.report.comparison import compare
from harness.report.records import Records, read_records

_RUN = ["task", "label", "seed"]


@dataclass(frozen=True)
class Results:
    """A suite's results, packed runs' too. Scores are in points, returns in the task's own units.

    Attributes:
        folder: where they are.
        runs: a line for each planned run: task, label, seed, its `folder`, its `state` (done,
            running, interrupted, failed, missing, or stale if the folder holds another spec's), its
            `score` by the suite's protocol (NaN unless done), steps, seconds, milliseconds an
            action.
        evaluations: a line for each episode: task, label, seed, step, action_selection, episode,
            return, length, terminated, success, normalized_score.
        curves: a line for each evaluation: task, label, seed, step, action_selection, the means
            `score` and `return` over its `episodes`.
        metrics: a line for each training metric at an evaluation: task, label, seed, step, name,
            value.
        damaged: a sentence on each run whose files are not as it left them, and so do not count.
    """

    folder: Path
    runs: pd.DataFrame
    evaluations: pd.DataFrame
    curves: pd.DataFrame
    metrics: pd.DataFrame
    damaged: tuple[str, ...]

    def __repr__(self) -> str:
        """Counts: the frames themselves are attributes."""
        states = self.runs["state"].value_counts().items()
        parts = [
            f"{len(self.runs):,} runs ({', '.join(f'{n:,} {state}' for state, n in states)})",
            f"{len(self.evaluations):,} episodes",
            f"{len(self.curves):,} evaluations",
            f"{len(self.metrics):,} training metrics",
            f"{len(self.damaged):,} damaged",
        ]
        return f"<Results in {self.folder}: {', '.join(parts)}>"


def results(suite: str | Path, folder: str | Path = "results") -> Results:
    """The results of a suite.

    Args:
        suite: its name, its file, or the folder of its results.
        folder: of all suites' results.

    Raises UserError if there are none, or if they cannot be read.
    """
    records = read_records(results_of(str(suite), Path(folder)))
    tables = [records.evaluations, records.other_selections]
    episodes = pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)
    return Results(
        folder=records.folder,
        runs=_runs(records),
        evaluations=_keys_first(episodes),
        curves=_curves(episodes),
        metrics=_keys_first(records.metrics.drop(columns="action_selection")),
        damaged=records.damaged,
    )


def _keys_first(table: pd.DataFrame) -> pd.DataFrame:
    return table[[*_RUN, *table.columns.difference(_RUN, sort=False)]]


def _runs(records: Records) -> pd.DataFrame:
    scores = compare(records).scores[[*_RUN, "score"]]
    runs = records.runs.merge(scores, on=_RUN, how="left")
    folders = [str(records.folder / path) for path in runs.pop("path")]
    runs.insert(len(_RUN), "folder", folders)
    return runs


def _curves(episodes: pd.DataFrame) -> pd.DataFrame:
    evaluation = [*_RUN, "step", "action_selection"]
    groups = episodes.groupby(evaluation, sort=False)
    means = groups.agg(
        **{
            "score": ("normalized_score", "mean"),
            "return": ("return", "mean"),
            "episodes": ("episode", "size"),
        }
    )
    return means.reset_index()
