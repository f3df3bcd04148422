"""Reads a suite's results folder into tidy tables: what of the report knows files, by `run_files`.

Every planned run keeps its row whatever became of it; a run that never started, failed, or belongs
to another spec has a `state` that says so instead of scores.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.report.action_selections import own_selections
from harness.report.run_files import COLUMNS, STATUS_COLUMNS, open_run, planned_row
from harness.report.run_tables import KEYS, RunTables
from harness.runs.suite_file import PlannedRun, SuiteFile

_DAMAGE = (OSError, ValueError, LookupError, TypeError)  # of a run's own files
BATCH = 500  # runs; parsing small files one by one takes most of the time of a report


@dataclass(frozen=True)
class Records:
    """A suite's results as tables.

    `runs` has one line per planned run: task, label, seed, path, state (done, running, interrupted,
    failed, missing, or stale when the folder holds a different spec), step, total_steps, error,
    started, finished, train_seconds, evaluation_seconds, wall_seconds, steps_per_second,
    amortized_action_ms. The other tables have the lines of the runs' CSV files of that name, with
    task, label, seed and `action_selection`, in today's words for columns. `evaluations` holds the
    episodes that count, of the rows' own action selections; `other_selections` those of further
    ones, after the last step. `online` holds the episodes of training in the environment. `specs`
    and `provenance` hold the JSON files by run path, where present. `damaged` has a sentence on
    every run whose files are not as it left them, which counts as failed.
    """

    folder: Path
    suite: SuiteFile
    runs: pd.DataFrame
    evaluations: pd.DataFrame
    other_selections: pd.DataFrame
    metrics: pd.DataFrame
    timings: pd.DataFrame
    measures: pd.DataFrame
    decisions: pd.DataFrame
    paths: pd.DataFrame
    values: pd.DataFrame
    online: pd.DataFrame
    specs: dict[str, dict[str, Any]]
    provenance: dict[str, dict[str, Any]]
    damaged: tuple[str, ...]


def read_records(folder: Path, suite: SuiteFile | None = None) -> Records:
    """Read one suite's folder: by its `suite.json`, or as a `suite` that was not run says.

    Raises UserError if the folder, its `suite.json` or an archive of its runs cannot be used: of a
    task's archive all runs would be missing, from every table.
    """
    reader = _Reader(folder, suite or SuiteFile.read(folder))
    runs = reader.suite.runs
    rows = [row for i in range(0, len(runs), BATCH) for row in reader.read(runs[i : i + BATCH])]
    keys = ["task", "label", "seed", "path", "state"]
    return Records(
        folder=folder,
        suite=reader.suite,
        runs=pd.DataFrame(rows, columns=[*keys, *STATUS_COLUMNS, "amortized_action_ms"]),
        evaluations=reader.table("evaluations"),
        other_selections=reader.table("other_selections"),
        metrics=reader.table("metrics"),
        timings=reader.table("timings"),
        measures=reader.table("measures"),
        decisions=reader.table("decisions"),
        paths=reader.table("paths"),
        values=reader.table("values"),
        online=reader.table("online"),
        specs=reader.specs,
        provenance=reader.provenance,
        damaged=tuple(reader.damaged),
    )


def trained_on(records: Records, task: str) -> list[str]:
    """The sha256 of the rows that the task's runs recorded."""
    paths = [run.path for run in records.suite.runs if run.task == task]
    return sorted(
        {records.specs[path]["dataset_sha256"] for path in paths if path in records.specs}
    )


class _Reader:
    """Reads the runs of a suite, and collects what their folders hold."""

    def __init__(self, folder: Path, suite: SuiteFile) -> None:
        self.folder = folder
        self.suite = suite
        self.specs: dict[str, dict[str, Any]] = {}
        self.provenance: dict[str, dict[str, Any]] = {}
        self.damaged: list[str] = []
        self._parser = RunTables(suite, own_selections(suite))
        self._tables: dict[str, list[pd.DataFrame]] = defaultdict(list)

    def table(self, name: str) -> pd.DataFrame:
        if self._tables[name]:
            return pd.concat(self._tables[name], ignore_index=True)
        columns = COLUMNS["evaluations" if name == "other_selections" else name]
        numbers = {column: float for column in columns if column != "name"}
        return pd.DataFrame(columns=[*KEYS, *columns]).astype({"seed": int, **numbers})

    def read(self, runs: Sequence[PlannedRun]) -> list[dict[str, Any]]:
        """The rows of some runs, whose tables are parsed together, which is many times faster.

        If something is wrong with them, each half is read by itself, down to the run that it is.
        """
        try:
            opened = [open_run(self.folder, self.suite, run) for run in runs]
            results = [one for one in opened if one.has_results]
            tables = self._parser.parse(results)
        except _DAMAGE as problem:
            if len(runs) > 1:
                half = len(runs) // 2
                return [*self.read(runs[:half]), *self.read(runs[half:])]
            return [self._left_out(runs[0], problem)]
        for one in results:
            self.specs[one.run.path] = one.spec
            if one.provenance:
                self.provenance[one.run.path] = one.provenance
        for name, table in tables.items():
            if len(table):
                self._tables[name].append(table)
        latencies = self._parser.latencies(tables["timings"]) if results else {}
        return [one.row | {"amortized_action_ms": latencies.get(one.key)} for one in opened]

    def _left_out(self, run: PlannedRun, problem: Exception) -> dict[str, Any]:
        error = f"its results are left out: {problem}; `run` repairs what can be repaired"
        self.damaged.append(f"NOT COUNTED: {run.task} {run.label} seed {run.seed}: {error}.")
        return planned_row(run) | {"state": "failed", "error": error}
