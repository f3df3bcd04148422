"""The CSV files of many runs as one table each, checked."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from harness.report.run_files import COLUMNS, RunFiles
from harness.runs.suite_file import SuiteFile
from harness.runs.tables import RENAMED_COLUMNS

RUN = ["task", "label", "seed"]
KEYS = (*RUN, "action_selection")


class RunTables:
    """Parses the files of a suite's runs, in today's words for columns.

    Args:
        suite: which the runs are of.
        own: the action selection of each of its rows, by label.
    """

    def __init__(self, suite: SuiteFile, own: Mapping[str, str]) -> None:
        self._own = own
        self._scores = {task.id: task.normalized_score for task in suite.tasks}
        self._episodes = suite.evaluation.episodes

    def parse(self, opened: Sequence[RunFiles]) -> dict[str, pd.DataFrame]:
        """The runs' tables by name; `other_selections` are the evaluations of further selections.

        Raises ValueError for what no run leaves.
        """
        tables = {name: self._parse_table(name, opened) for name in COLUMNS}
        episodes = tables.pop("evaluations")
        own = episodes["action_selection"] == episodes["label"].map(self._own)
        self._check_episodes(episodes)
        self._check_last_evaluation(episodes[own], opened)
        return tables | {"evaluations": episodes[own], "other_selections": episodes[~own]}

    def latencies(self, times: pd.DataFrame) -> dict[tuple[str, str, int], float]:
        """The median time of an action of every run, by its own action selection."""
        own = times[times["action_selection"] == times["label"].map(self._own)]
        medians: pd.Series[float] = own.groupby(RUN)["amortized_action_ms"].median()
        return dict(medians)

    def _parse_table(self, name: str, opened: Sequence[RunFiles]) -> pd.DataFrame:
        """One CSV file of the runs that have it, joined where their headers are the same."""
        alike: dict[bytes, list[tuple[RunFiles, bytes]]] = {}
        for one in opened:
            if name in one.contents:
                header, _, lines = one.contents[name].partition(b"\n")
                alike.setdefault(header, []).append((one, lines))
        tables = [self._join(name, header, files) for header, files in alike.items()]
        if not tables:
            return pd.DataFrame(columns=[*KEYS, *COLUMNS[name]])
        return pd.concat(tables, ignore_index=True)

    def _join(
        self, name: str, header: bytes, files: Sequence[tuple[RunFiles, bytes]]
    ) -> pd.DataFrame:
        ended = [
            lines if lines.endswith(b"\n") or not lines else lines + b"\n" for _, lines in files
        ]
        table = pd.read_csv(io.BytesIO(b"\n".join([header, b"".join(ended)])))
        table = table.rename(columns=RENAMED_COLUMNS)
        counts = [lines.count(b"\n") for lines in ended] if len(files) > 1 else [len(table)]
        if sum(counts) != len(table):
            raise ValueError(f"{name}.csv has lines that are none")
        absent = [column for column in COLUMNS[name] if column not in table]
        if absent:
            raise ValueError(f"{name}.csv lacks {', '.join(absent)}")
        runs = [one.run for one, _ in files]
        if "action_selection" not in table:
            table["action_selection"] = np.repeat([self._own[run.label] for run in runs], counts)
        texts = ["name", "action_selection", "terminated"]
        for column in table.columns.difference(texts):
            table[column] = pd.to_numeric(table[column])
        seeds = np.repeat([run.seed for run in runs], counts)
        if "seed" in table and (table["seed"] != seeds).any():
            raise ValueError(f"{name}.csv is of another seed")
        return table.assign(
            task=np.repeat([run.task for run in runs], counts),
            label=np.repeat([run.label for run in runs], counts),
            seed=seeds,
        )

    def _check_episodes(self, episodes: pd.DataFrame) -> None:
        """Raises ValueError if an episode is there twice, or its score is not of its return."""
        if episodes.duplicated([*KEYS, "step", "episode"]).any():
            raise ValueError("evaluations.csv has an episode twice")
        if not np.isfinite(episodes["return"].to_numpy(float)).all():
            raise ValueError("evaluations.csv has a return that is not finite")
        for task, found in episodes.groupby("task"):
            score_of = self._scores[str(task)]
            scores = np.array([score_of(value) for value in found["return"].to_numpy(float)])
            stored = found["normalized_score"].to_numpy(float)
            if not np.allclose(scores, stored, rtol=1e-9, atol=1e-9):
                raise ValueError("evaluations.csv has a score that is not that of its return")

    def _check_last_evaluation(self, episodes: pd.DataFrame, opened: Sequence[RunFiles]) -> None:
        """Raises ValueError if a run that is done lacks episodes of its last evaluation."""
        sizes = episodes.groupby([*RUN, "step"]).size().to_dict()
        for one in opened:
            if one.row["state"] == "done":
                count = sizes.get((*one.key, one.row["total_steps"]), 0)
                if count != self._episodes:
                    raise ValueError(
                        f"it is marked done, and its last evaluation has {count} of "
                        f"{self._episodes} episodes"
                    )
