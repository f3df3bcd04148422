"""Reads a suite's results folder into tidy tables: the only place of the report that knows files.

Every planned run keeps its row whatever became of it; a run that never started, failed, or belongs
to another spec has a `state` that says so instead of scores.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from harness.files import parse_object
from harness.report.action_selections import own_selections
from harness.runs.archive import read_file
from harness.runs.checkout import Checkout
from harness.runs.folder import RunFolder
from harness.runs.suite_file import PlannedRun, SuiteFile
from harness.runs.tables import RENAMED_COLUMNS

# Columns that a file must have, by its name; the oldest files lack `action_selection`.
_COLUMNS = {
    "evaluations": ("step", "episode", "return", "length", "success", "normalized_score"),
    "metrics": ("step", "name", "value"),
    "timings": ("step", "amortized_action_ms"),
    "measures": ("step", "episode", "name", "value"),
    "decisions": ("step", "decision_ms"),
    "paths": ("step", "episode", "time", "x", "y"),
    "values": ("step", "x", "y", "value"),
    "online": ("step", "episode", "length", "normalized_score"),
}
_RUN = ["task", "label", "seed"]
_KEYS = (*_RUN, "action_selection")
_DAMAGE = (OSError, ValueError, LookupError, TypeError)  # of a run's own files
BATCH = 500  # runs; parsing small files one by one takes most of the time of a report
_STATUS_COLUMNS = (
    "step",
    "total_steps",
    "error",
    "started",
    "finished",
    "train_seconds",
    "evaluation_seconds",
    "wall_seconds",
    "steps_per_second",
)


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
        runs=pd.DataFrame(rows, columns=[*keys, *_STATUS_COLUMNS, "amortized_action_ms"]),
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


@dataclass(frozen=True)
class _Opened:
    """A run's files as they are; `contents` are the CSV files that it has, by name.

    A run without results, or whose results cannot be used, has a row alone.
    """

    run: PlannedRun
    row: dict[str, Any]
    spec: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)

    @property
    def has_results(self) -> bool:
        return bool(self.spec)


class _Reader:
    """Reads the runs of a suite, and collects what their folders hold."""

    def __init__(self, folder: Path, suite: SuiteFile) -> None:
        self.folder = folder
        self.suite = suite
        self.specs: dict[str, dict[str, Any]] = {}
        self.provenance: dict[str, dict[str, Any]] = {}
        self.damaged: list[str] = []
        self._own = own_selections(suite)
        self._tasks = {task.id: task for task in suite.tasks}
        self._tables: dict[str, list[pd.DataFrame]] = defaultdict(list)

    def table(self, name: str) -> pd.DataFrame:
        if self._tables[name]:
            return pd.concat(self._tables[name], ignore_index=True)
        columns = _COLUMNS["evaluations" if name == "other_selections" else name]
        numbers = {column: float for column in columns if column != "name"}
        return pd.DataFrame(columns=[*_KEYS, *columns]).astype({"seed": int, **numbers})

    def read(self, runs: Sequence[PlannedRun]) -> list[dict[str, Any]]:
        """The rows of some runs, whose tables are parsed together, which is many times faster.

        If something is wrong with them, each half is read by itself, down to the run that it is.
        """
        try:
            opened = [self._open(run) for run in runs]
            results = [one for one in opened if one.has_results]
            tables = self._parse(results)
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
        latencies = self._latencies(tables["timings"]) if results else {}
        return [one.row | {"amortized_action_ms": latencies.get(_key(one.run))} for one in opened]

    def _left_out(self, run: PlannedRun, problem: Exception) -> dict[str, Any]:
        error = f"its results are left out: {problem}; `run` repairs what can be repaired"
        self.damaged.append(f"NOT COUNTED: {run.task} {run.label} seed {run.seed}: {error}.")
        return _planned(run) | {"state": "failed", "error": error}

    def _open(self, run: PlannedRun) -> _Opened:
        """Raises ValueError, among others, for whatever is not as the run left it."""
        path, row = self.folder / run.path, _planned(run)
        folder = RunFolder(path)
        if link := folder.link_below(self.folder):
            raise ValueError(f"{link} is a link, and results are not read through links")
        status = folder.status()
        if status is None:
            if read_file(path / "status.json") is None:
                return _Opened(run, row | {"state": "missing"})
            raise ValueError("status.json is no status of a run")
        if damage := folder.damage(status):
            raise ValueError(", ".join(damage))
        spec = _read_object(path / "spec.json")
        if spec.get("hash") != run.hash:
            error = "the folder holds a run of a different spec"
            return _Opened(run, row | {"state": "stale", "error": error})
        if not isinstance(spec.get("config"), dict) or not isinstance(
            spec.get("dataset_sha256"), str
        ):
            raise ValueError("spec.json lacks the config or the data's sha256")
        provenance = _provenance(path / "provenance.json")
        planned = self.suite.steps_of(run.label) + self.suite.online_steps
        if status.state == "done" and status.total_steps != planned:
            raise ValueError(f"it has {status.total_steps:,} steps, and the suite {planned:,}")
        row |= {"state": status.state} | {key: getattr(status, key) for key in _STATUS_COLUMNS}
        found = {name: read_file(path / f"{name}.csv") for name in _COLUMNS}
        contents = {name: content for name, content in found.items() if content is not None}
        return _Opened(run, row, spec, provenance, contents)

    def _parse(self, opened: Sequence[_Opened]) -> dict[str, pd.DataFrame]:
        """The runs' tables by name. Raises ValueError for what no run leaves."""
        tables = {name: self._parse_table(name, opened) for name in _COLUMNS}
        episodes = tables.pop("evaluations")
        own = episodes["action_selection"] == episodes["label"].map(self._own)
        self._check_episodes(episodes)
        self._check_last_evaluation(episodes[own], opened)
        return tables | {"evaluations": episodes[own], "other_selections": episodes[~own]}

    def _parse_table(self, name: str, opened: Sequence[_Opened]) -> pd.DataFrame:
        """One CSV file of the runs that have it, joined where their headers are the same."""
        alike: dict[bytes, list[tuple[PlannedRun, bytes]]] = {}
        for one in opened:
            if name in one.contents:
                header, _, lines = one.contents[name].partition(b"\n")
                alike.setdefault(header, []).append((one.run, lines))
        tables = [self._join(name, header, files) for header, files in alike.items()]
        if not tables:
            return pd.DataFrame(columns=[*_KEYS, *_COLUMNS[name]])
        return pd.concat(tables, ignore_index=True)

    def _join(
        self, name: str, header: bytes, files: Sequence[tuple[PlannedRun, bytes]]
    ) -> pd.DataFrame:
        ended = [
            lines if lines.endswith(b"\n") or not lines else lines + b"\n" for _, lines in files
        ]
        table = pd.read_csv(io.BytesIO(b"\n".join([header, b"".join(ended)])))
        table = table.rename(columns=RENAMED_COLUMNS)
        counts = [lines.count(b"\n") for lines in ended] if len(files) > 1 else [len(table)]
        if sum(counts) != len(table):
            raise ValueError(f"{name}.csv has lines that are none")
        absent = [column for column in _COLUMNS[name] if column not in table]
        if absent:
            raise ValueError(f"{name}.csv lacks {', '.join(absent)}")
        runs = [run for run, _ in files]
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
        if episodes.duplicated([*_KEYS, "step", "episode"]).any():
            raise ValueError("evaluations.csv has an episode twice")
        if not np.isfinite(episodes["return"].to_numpy(float)).all():
            raise ValueError("evaluations.csv has a return that is not finite")
        for task, found in episodes.groupby("task"):
            score_of = self._tasks[str(task)].normalized_score
            scores = np.array([score_of(value) for value in found["return"].to_numpy(float)])
            stored = found["normalized_score"].to_numpy(float)
            if not np.allclose(scores, stored, rtol=1e-9, atol=1e-9):
                raise ValueError("evaluations.csv has a score that is not that of its return")

    def _check_last_evaluation(self, episodes: pd.DataFrame, opened: Sequence[_Opened]) -> None:
        """Raises ValueError if a run that is done lacks episodes of its last evaluation."""
        sizes = episodes.groupby([*_RUN, "step"]).size().to_dict()
        wanted = self.suite.evaluation.episodes
        for one in opened:
            if one.row["state"] == "done":
                count = sizes.get((*_key(one.run), one.row["total_steps"]), 0)
                if count != wanted:
                    raise ValueError(
                        f"it is marked done, and its last evaluation has {count} of {wanted} "
                        "episodes"
                    )

    def _latencies(self, times: pd.DataFrame) -> dict[Any, float]:
        """The median time of an action of every run, by its own action selection."""
        own = times[times["action_selection"] == times["label"].map(self._own)]
        medians: pd.Series[float] = own.groupby(_RUN)["amortized_action_ms"].median()
        return dict(medians)


def _key(run: PlannedRun) -> tuple[str, str, int]:
    return run.task, run.label, run.seed


def _planned(run: PlannedRun) -> dict[str, Any]:
    return {"task": run.task, "label": run.label, "seed": run.seed, "path": run.path}


def _provenance(path: Path) -> dict[str, Any]:
    provenance = _read_object(path)
    known = all(isinstance(provenance.get(key, {}), dict) for key in ("algorithm", "dataset"))
    try:
        Checkout.of(provenance)
    except ValidationError:
        known = False
    if not known:
        raise ValueError("provenance.json does not say of which code and data the run is")
    return provenance


def _read_object(path: Path) -> dict[str, Any]:
    """A run's JSON file, empty if there is none. Raises ValueError if it is broken."""
    try:
        return parse_object(read_file(path) or b"{}")
    except ValueError as error:
        raise ValueError(f"{path.name} cannot be read ({error})") from error
