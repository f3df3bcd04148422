"""What one run's folder holds, checked: its row, and its CSV files as they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.files import parse_object
from harness.runs.archive import read_file
from harness.runs.checkout import Checkout
from harness.runs.folder import RunFolder
from harness.runs.suite_file import PlannedRun, SuiteFile

# Columns that a file must have, by its name; the oldest files lack `action_selection`.
COLUMNS = {
    "evaluations": ("step", "episode", "return", "length", "success", "normalized_score"),
    "metrics": ("step", "name", "value"),
    "timings": ("step", "amortized_action_ms"),
    "measures": ("step", "episode", "name", "value"),
    "decisions": ("step", "decision_ms"),
    "paths": ("step", "episode", "time", "x", "y"),
    "values": ("step", "x", "y", "value"),
    "online": ("step", "episode", "length", "normalized_score"),
}
STATUS_COLUMNS = (
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
class RunFiles:
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

    @property
    def key(self) -> tuple[str, str, int]:
        return self.run.task, self.run.label, self.run.seed


def open_run(results: Path, suite: SuiteFile, run: PlannedRun) -> RunFiles:
    """The files of a run below a suite's `results`.

    Raises ValueError, among others, for whatever is not as the run left it.
    """
    path, row = results / run.path, planned_row(run)
    folder = RunFolder(path)
    if link := folder.link_below(results):
        raise ValueError(f"{link} is a link, and results are not read through links")
    status = folder.status()
    if status is None:
        if read_file(path / "status.json") is None:
            return RunFiles(run, row | {"state": "missing"})
        raise ValueError("status.json is no status of a run")
    if damage := folder.damage(status):
        raise ValueError(", ".join(damage))
    spec = _read_object(path / "spec.json")
    if spec.get("hash") != run.hash:
        error = "the folder holds a run of a different spec"
        return RunFiles(run, row | {"state": "stale", "error": error})
    if not isinstance(spec.get("config"), dict) or not isinstance(spec.get("dataset_sha256"), str):
        raise ValueError("spec.json lacks the config or the data's sha256")
    provenance = _provenance(path / "provenance.json")
    planned = suite.steps_of(run.label) + suite.online_steps
    if status.state == "done" and status.total_steps != planned:
        raise ValueError(f"it has {status.total_steps:,} steps, and the suite {planned:,}")
    row |= {"state": status.state} | {key: getattr(status, key) for key in STATUS_COLUMNS}
    found = {name: read_file(path / f"{name}.csv") for name in COLUMNS}
    contents = {name: content for name, content in found.items() if content is not None}
    return RunFiles(run, row, spec, provenance, contents)


def planned_row(run: PlannedRun) -> dict[str, Any]:
    """What a run's row says before anything of its folder is known."""
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
