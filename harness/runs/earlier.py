"""Runs beside a run that were its own until something changed: they stay, in their own folders."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.runs.archive import cells_of, ensure_undamaged
from harness.runs.folder import RunFolder, read_json
from harness.runs.spec import RunSpec

# What a run's spec may differ in from another's of its name: field -> word.
_CHANGES = {
    "code": "code",
    "dataset_sha256": "data",
    "config": "config",
    "steps": "steps",
    "online_steps": "online steps",
    "evaluation": "evaluation",
    "algorithm": "algorithm",
    "task": "task",
    "precision": "precision",
    "compiled": "compilation",
    "device": "device",
    "engine_version": "engine",
}


def earlier_run(directory: Path, spec: RunSpec) -> RunSpec | None:
    """The latest finished run in a suite's results that differs from `spec` in its code alone."""
    finished: dict[str, RunSpec] = {}
    for other in _of_other_code(directory, spec):
        if status := RunFolder(directory / other.folder).done_status():
            finished[status.finished] = other
    return finished[max(finished)] if finished else None


def what_changed(directory: Path, spec: RunSpec) -> list[str]:
    """In what the spec differs from that run of its label, task and seed which is most like it.

    Nothing if there is none.
    """
    wanted = spec.to_json()
    differing = (
        [word for name, word in _CHANGES.items() if found.get(name) != wanted.get(name)]
        for found in _beside(directory, spec)
        if found.get("label") == spec.label
    )
    return min(differing, key=len, default=[])


def _of_other_code(directory: Path, spec: RunSpec) -> Iterator[RunSpec]:
    """What else the spec is with the code that runs beside it were made by."""
    for found in _beside(directory, spec):
        other = spec.model_copy(update={"code": found.get("code", "")})
        if other.hash == found.get("hash"):
            yield other


def _beside(directory: Path, spec: RunSpec) -> Iterator[dict[str, Any]]:
    """What the specs of other runs say whose folders are called as the run's but for the digest."""
    cell = (directory / spec.folder).parent
    names = {name for name in cells_of(cell.parent) if name.startswith(f"{spec.label}-")}
    for name in sorted(names - {cell.name}):
        run = cell.with_name(name) / f"seed-{spec.seed}"
        ensure_undamaged(run)
        try:
            found = read_json(run / "spec.json")
        except UserError:  # damaged, and so not finished
            continue
        if found is not None:
            yield found
