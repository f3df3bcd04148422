"""Finished runs of a method's earlier code. They stay in folders of their own when it changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.errors import UserError
from harness.runs.archive import ARCHIVE_SUFFIX
from harness.runs.folder import RunFolder, read_json
from harness.runs.spec import RunSpec


def earlier_run(directory: Path, spec: RunSpec) -> RunSpec | None:
    """The latest finished run in a suite's results that differs from `spec` in its code alone."""
    finished: dict[str, RunSpec] = {}
    for other in _of_other_code(directory, spec):
        folder = RunFolder(directory / other.folder)
        status = folder.status()
        if status is not None and folder.is_done():
            finished[status.finished] = other
    return finished[max(finished)] if finished else None


def _of_other_code(directory: Path, spec: RunSpec) -> Iterator[RunSpec]:
    """What else the spec is with the code that runs beside it were made by."""
    cell = (directory / spec.folder).parent
    names = {path.name.removesuffix(ARCHIVE_SUFFIX) for path in cell.parent.glob(f"{spec.label}-*")}
    for name in sorted(names - {cell.name}):
        try:
            found = read_json(cell.with_name(name) / f"seed-{spec.seed}" / "spec.json") or {}
        except UserError:  # damaged, and so not finished
            continue
        other = spec.model_copy(update={"code": found.get("code", "")})
        if other.hash == found.get("hash"):
            yield other
