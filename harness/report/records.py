"""Reads a suite's results folder into tidy tables: the only place of the report that knows files.

Every planned run keeps its row whatever became of it; a run that never started, failed, or belongs
to another spec has a `state` that says so instead of scores.
"""

from __future__ import annotations

import io
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from harness.errors import UserError
from harness.files import parse_object
from harness.report.action_selections import own_selections
from harness.runs.archive import read_file
from harness.runs.folder import RENAMED_COLUMNS, RunFolder
from harness.runs.suite_file import PlannedRun, SuiteFile
from harness.tasks.spec import TaskSpec

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
_KEYS = ("task", "label", "seed", "action_selection")
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

    Raises UserError if the folder or its `suite.json` cannot be used.
    """
    suite = suite or read_suite(folder)
    own = own_selections(suite)
    rows: list[dict[str, Any]] = []
    damaged: list[str] = []
    found = _Found()
    for run in suite.runs:
        row: dict[str, Any] = {"task": run.task, "label": run.label, "seed": run.seed}
        row["path"] = run.path
        try:
            row |= _read_run(folder / run.path, run, own[run.label], found, suite)
        except (OSError, ValueError, LookupError, TypeError, UserError) as problem:
            error = f"its results are left out: {problem}; `run` repairs what can be repaired"
            row |= {"state": "failed", "error": error}
            damaged.append(f"NOT COUNTED: {run.task} {run.label} seed {run.seed}: {error}.")
        rows.append(row)
    keys = ["task", "label", "seed", "path", "state"]
    return Records(
        folder=folder,
        suite=suite,
        runs=pd.DataFrame(rows, columns=[*keys, *_STATUS_COLUMNS, "amortized_action_ms"]),
        evaluations=found.table("evaluations"),
        other_selections=found.table("other_selections"),
        metrics=found.table("metrics"),
        timings=found.table("timings"),
        measures=found.table("measures"),
        decisions=found.table("decisions"),
        paths=found.table("paths"),
        values=found.table("values"),
        online=found.table("online"),
        specs=found.specs,
        provenance=found.provenance,
        damaged=tuple(damaged),
    )


def trained_on(records: Records, task: str) -> list[str]:
    """The sha256 of the rows that the task's runs recorded."""
    paths = [run.path for run in records.suite.runs if run.task == task]
    return sorted(
        {records.specs[path]["dataset_sha256"] for path in paths if path in records.specs}
    )


class _Found:
    """What the run folders held, collected run by run."""

    def __init__(self) -> None:
        self.specs: dict[str, dict[str, Any]] = {}
        self.provenance: dict[str, dict[str, Any]] = {}
        self.tables: dict[str, list[pd.DataFrame]] = defaultdict(list)

    def table(self, name: str) -> pd.DataFrame:
        if self.tables[name]:
            return pd.concat(self.tables[name], ignore_index=True)
        columns = _COLUMNS["evaluations" if name == "other_selections" else name]
        numbers = {column: float for column in columns if column != "name"}
        return pd.DataFrame(columns=[*_KEYS, *columns]).astype({"seed": int, **numbers})


def read_suite(folder: Path) -> SuiteFile:
    """What a results folder says was planned. Raises UserError if it cannot be used."""
    path = folder / "suite.json"
    name, smoke, _ = folder.name.partition("-smoke")
    again = f"Write it with: python -m harness run {name}{' --smoke' if smoke else ''}"
    if not folder.is_dir():
        raise UserError(f"There is no results folder {folder}. {again}")
    if not path.is_file():
        raise UserError(f"{folder} holds no results: it has no suite.json. {again}")
    try:
        return SuiteFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        key = f" at '{where}'" if where else ""
        raise UserError(f"{path} is malformed{key}: {first['msg']}. {again}") from error


def _read_run(
    path: Path, run: PlannedRun, own: str, found: _Found, suite: SuiteFile
) -> dict[str, Any]:
    """The run's row; its files are added to what was found, if all of them can be trusted.

    Raises ValueError, among others, for whatever is not as the run left it.
    """
    folder = RunFolder(path)
    if link := folder.link_below(path.parents[len(Path(run.path).parts) - 1]):
        raise ValueError(f"{link} is a link, and results are not read through links")
    status = folder.status()
    if status is None:
        if read_file(path / "status.json") is None:
            return {"state": "missing"}
        raise ValueError("status.json is no status of a run")
    if damage := folder.damage():
        raise ValueError(", ".join(damage))
    spec = _read_object(path / "spec.json")
    if spec.get("hash") != run.hash:
        return {"state": "stale", "error": "the folder holds a run of a different spec"}
    if not isinstance(spec.get("config"), dict) or not isinstance(spec.get("dataset_sha256"), str):
        raise ValueError("spec.json lacks the config or the data's sha256")
    provenance = _read_object(path / "provenance.json")
    if not all(isinstance(provenance.get(key, {}), dict) for key in ("algorithm", "dataset")):
        raise ValueError("provenance.json does not say of which code and data the run is")
    row = {"state": status.state} | {key: getattr(status, key) for key in _STATUS_COLUMNS}
    tables = {name: _read_table(path, name, run, own) for name in _COLUMNS}
    episodes = tables.pop("evaluations")
    counts = episodes["action_selection"] == own
    _check_episodes(episodes, next(task for task in suite.tasks if task.id == run.task))
    if status.state == "done":
        planned = suite.steps_of(run.label) + suite.online_steps
        if status.total_steps != planned:
            raise ValueError(f"it has {status.total_steps:,} steps, and the suite {planned:,}")
        at_the_end = episodes[counts & (episodes["step"] == status.total_steps)]
        if len(at_the_end) != suite.evaluation.episodes:
            raise ValueError(
                f"it is marked done, and its last evaluation has {len(at_the_end)} of "
                f"{suite.evaluation.episodes} episodes"
            )
    found.specs[run.path] = spec
    if provenance:
        found.provenance[run.path] = provenance
    tables |= {"evaluations": episodes[counts], "other_selections": episodes[~counts]}
    for name, table in tables.items():
        if len(table):
            found.tables[name].append(table)
    times = tables["timings"]
    milliseconds = times.loc[times["action_selection"] == own, "amortized_action_ms"]
    return row | {"amortized_action_ms": milliseconds.median()}


def _check_episodes(episodes: pd.DataFrame, task: TaskSpec) -> None:
    """Raises ValueError if an episode is there twice, or its score is not that of its return."""
    key = ["step", "action_selection", "episode"]
    if episodes.duplicated(key).any():
        raise ValueError("evaluations.csv has an episode twice")
    returns = episodes["return"].to_numpy(float)
    if not np.isfinite(returns).all():
        raise ValueError("evaluations.csv has a return that is not finite")
    scores = np.array([task.normalized_score(value) for value in returns], float)
    if not np.allclose(scores, episodes["normalized_score"].to_numpy(float), rtol=1e-9, atol=1e-9):
        raise ValueError("evaluations.csv has a score that is not that of its return")


def _read_object(path: Path) -> dict[str, Any]:
    """A run's JSON file, empty if there is none. Raises ValueError if it is broken."""
    try:
        return parse_object(read_file(path) or b"{}")
    except ValueError as error:
        raise ValueError(f"{path.name} cannot be read ({error})") from error


def _read_table(path: Path, name: str, run: PlannedRun, own: str) -> pd.DataFrame:
    """One CSV file of a run, empty if there is none. Raises ValueError for missing columns."""
    content = read_file(path / f"{name}.csv")
    if content is None:
        return pd.DataFrame(columns=[*_KEYS, *_COLUMNS[name]])
    table = pd.read_csv(io.BytesIO(content)).rename(columns=RENAMED_COLUMNS)
    absent = [column for column in _COLUMNS[name] if column not in table]
    if absent:
        raise ValueError(f"{name}.csv lacks {', '.join(absent)}")
    if "action_selection" not in table:
        table["action_selection"] = own
    texts = ["name", "action_selection", "terminated"]
    for column in table.columns.difference(texts):
        table[column] = pd.to_numeric(table[column])
    if "seed" in table and (table["seed"] != run.seed).any():
        raise ValueError(f"{name}.csv is of another seed")
    return table.assign(task=run.task, label=run.label, seed=run.seed)
