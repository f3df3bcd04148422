"""Reads a suite's results folder into tidy tables: the only place of the report that knows files.

Every planned run keeps its row whatever became of it; a run that never started, failed, or belongs
to another spec has a `state` that says so instead of scores.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ValidationError

from harness.errors import UserError
from harness.tasks.spec import TaskSpec

_EVALUATION_COLUMNS = ("step", "episode", "return", "length", "success", "normalized_score")
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


class AlgorithmEntry(BaseModel, frozen=True):
    """One column of the comparison; `label` names it, `id` is the registered method."""

    label: str
    id: str
    title: str
    paper: str
    family: str
    config: dict[str, Any]


class EvaluationPlan(BaseModel, frozen=True):
    """Evaluate every `every` gradient steps over `episodes` episodes; score by `protocol`."""

    every: int
    episodes: int
    protocol: str


class PlannedRun(BaseModel, frozen=True):
    """One (task, label, seed); `path` is relative to the suite's folder."""

    task: str
    label: str
    seed: int
    path: str
    hash: str


class SuiteFile(BaseModel, frozen=True):
    """What `suite.json` says was planned."""

    name: str
    title: str
    question: str
    command: str
    tasks: list[TaskSpec]
    algorithms: list[AlgorithmEntry]
    seeds: list[int]
    steps: int
    evaluation: EvaluationPlan
    runs: list[PlannedRun]
    smoke: bool


@dataclass(frozen=True)
class Records:
    """A suite's results as tables.

    `runs` has one row a planned run: task, label, seed, path, state (done, running, interrupted,
    failed, missing, or stale when the folder holds a different spec), step, total_steps, error,
    started, finished, train_seconds, evaluation_seconds, wall_seconds, steps_per_second,
    action_latency_ms. `evaluations` has one row an episode: task, label, seed and the columns of
    `evaluations.csv`. `specs` and `provenance` hold the JSON files by run path, where present.
    """

    folder: Path
    suite: SuiteFile
    runs: pd.DataFrame
    evaluations: pd.DataFrame
    specs: dict[str, dict[str, Any]]
    provenance: dict[str, dict[str, Any]]


def read_records(folder: Path) -> Records:
    """Read one suite's folder. Raises UserError if it or its `suite.json` cannot be used."""
    suite = _read_suite(folder)
    rows: list[dict[str, Any]] = []
    evaluations: list[pd.DataFrame] = []
    specs: dict[str, dict[str, Any]] = {}
    provenance: dict[str, dict[str, Any]] = {}
    for run in suite.runs:
        row: dict[str, Any] = {"task": run.task, "label": run.label, "seed": run.seed}
        row["path"] = run.path
        try:
            row |= _read_run(folder / run.path, run, specs, provenance, evaluations)
        except (OSError, ValueError, KeyError) as problem:
            row |= {
                "state": "failed",
                "error": f"results cannot be read ({problem}); delete {run.path} and run again",
            }
        rows.append(row)
    keys = ["task", "label", "seed", "path", "state"]
    runs = pd.DataFrame(rows, columns=[*keys, *_STATUS_COLUMNS, "action_latency_ms"])
    empty = pd.DataFrame(columns=[*keys[:3], *_EVALUATION_COLUMNS]).astype({"seed": int})
    return Records(
        folder=folder,
        suite=suite,
        runs=runs,
        evaluations=pd.concat(evaluations, ignore_index=True) if evaluations else empty,
        specs=specs,
        provenance=provenance,
    )


def _read_suite(folder: Path) -> SuiteFile:
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
    path: Path,
    run: PlannedRun,
    specs: dict[str, dict[str, Any]],
    provenance: dict[str, dict[str, Any]],
    evaluations: list[pd.DataFrame],
) -> dict[str, Any]:
    """The run's row; its files are added to the three collections."""
    if not (path / "status.json").exists():
        return {"state": "missing"}
    spec = json.loads((path / "spec.json").read_text("utf-8"))
    if spec["hash"] != run.hash:
        return {"state": "stale", "error": "the folder holds a run of a different spec"}
    specs[run.path] = spec
    if (path / "provenance.json").exists():
        provenance[run.path] = json.loads((path / "provenance.json").read_text("utf-8"))
    status = json.loads((path / "status.json").read_text("utf-8"))
    row = {"state": status["state"]} | {key: status.get(key) for key in _STATUS_COLUMNS}
    if (path / "timings.csv").exists():
        row["action_latency_ms"] = pd.read_csv(path / "timings.csv")["action_latency_ms"].median()
    episodes = None
    if (path / "evaluations.csv").exists():
        episodes = pd.read_csv(path / "evaluations.csv")
        absent = [column for column in _EVALUATION_COLUMNS if column not in episodes]
        if absent:
            raise ValueError(f"evaluations.csv lacks {', '.join(absent)}")
    if episodes is not None and len(episodes):
        evaluations.append(episodes.assign(task=run.task, label=run.label, seed=run.seed))
    elif status["state"] == "done":
        raise ValueError("it is marked done but has no evaluations")
    return row
