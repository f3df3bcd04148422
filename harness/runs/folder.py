"""The results store: one folder of plain files a run, each written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import UserError
from harness.files import write_bytes, write_json
from harness.runs.archive import archive_bytes, archive_path, members_of, read_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.runs.spec import RunSpec

    SeedState = dict[str, NDArray[np.generic]]

State = Literal["running", "done", "failed", "interrupted"]
Value = str | int | float | bool
Values = Sequence[Value]


@dataclass(frozen=True)
class Status:
    """How far a run is. Seconds are of its whole trial and add up over resumptions."""

    state: State
    step: int
    total_steps: int
    invocation: str  # which `harness run` wrote this
    started: str  # ISO 8601, UTC
    error: str = ""
    finished: str = ""
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    wall_seconds: float = 0.0
    steps_per_second: float = 0.0
    evaluated_step: int = 0
    latest_score: float | None = None  # normalised, in points


# What columns were called in files of earlier versions.
RENAMED_COLUMNS = {"actions": "action_selection", "action_latency_ms": "amortized_action_ms"}


class RunFolder:
    """The files of one run. Nothing else reads or writes them while the run goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path

    # --- what the run is --------------------------------------------------------------------

    def write_spec(self, spec: RunSpec) -> None:
        write_json(self.path / "spec.json", spec.to_json())

    def check_spec(self, spec: RunSpec) -> None:
        """Raises UserError if the folder holds a run of another spec; no folder is fine."""
        found = read_json(self.path / "spec.json")
        if found is None or found.get("hash") == _hash_of(found, type(spec)) == spec.hash:
            return
        wanted = json.loads(json.dumps(spec.to_json()))
        wrong = [key for key in {**wanted, **found} if found.get(key) != wanted.get(key)]
        raise UserError(
            f"{self.path} holds the results of a different spec: its spec.json differs in "
            f"{', '.join(wrong)}. Nothing was changed. Move the folder away, or let "
            "`run --fresh` delete it."
        )

    def write_provenance(self, provenance: Mapping[str, Any]) -> None:
        write_json(self.path / "provenance.json", provenance)

    def exists(self) -> bool:
        """Whether there is anything of the run, in a folder or packed."""
        return self.path.is_dir() or read_file(self.path / "spec.json") is not None

    def delete(self) -> None:
        """Remove the run's folder, and the run from the archive of its cell."""
        if self.path.is_dir():
            shutil.rmtree(self.path)
        cell, prefix = self.path.parent, f"{self.path.name}/"
        packed = members_of(cell)
        left = {name: packed[name] for name in packed if not name.startswith(prefix)}
        if packed and not left:
            archive_path(cell).unlink()
        elif left != packed:
            write_bytes(archive_path(cell), archive_bytes(left), durable=True)

    # --- how far it is ----------------------------------------------------------------------

    def status(self) -> Status | None:
        """The latest status, or None before the run has started."""
        found = read_json(self.path / "status.json")
        return Status(**found) if found is not None else None

    def write_status(self, status: Status) -> None:
        write_json(self.path / "status.json", asdict(status), durable=status.state != "running")

    def is_done(self) -> bool:
        status = self.status()
        return status is not None and status.state == "done"

    # --- tables -----------------------------------------------------------------------------

    def write_table(self, name: str, columns: Sequence[str], rows: Iterable[Values]) -> None:
        """Write `<name>.csv`; floats in full precision, so equal numbers are equal bytes."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([[_text(value) for value in row] for row in rows])
        write_bytes(self.path / f"{name}.csv", text.getvalue().encode())

    def read_table(self, name: str, columns: Sequence[str], until: int) -> list[list[str]]:
        """The rows of `<name>.csv` up to step `until`, as text; [] if there is none.

        Raises:
            UserError: the file has other columns than `columns`.
        """
        path = self.path / f"{name}.csv"
        content = read_file(path)
        if content is None:
            return []
        found, *rows = list(csv.reader(io.StringIO(content.decode()))) or [[]]
        header = [RENAMED_COLUMNS.get(column, column) for column in found]
        if header != list(columns):
            raise UserError(f"{path} has the columns {header}, expected {list(columns)}.")
        step = columns.index("step")
        return [row for row in rows if int(row[step]) <= until]

    # --- checkpoint -------------------------------------------------------------------------

    def write_checkpoint(self, state: SeedState, step: int, seconds: Mapping[str, float]) -> None:
        """Save one seed's learning state after `step`, and the seconds spent on it so far."""
        from safetensors.numpy import save

        content = save(state, {"step": str(step)})
        write_bytes(self.path / "checkpoint.safetensors", content, durable=True)
        write_json(self.path / "checkpoint.json", {"step": step, **seconds})

    def checkpoint_step(self) -> int:
        """Gradient steps in the checkpoint; 0 without one. Raises UserError if it is broken."""
        path = self.path / "checkpoint.safetensors"
        if not path.exists():
            return 0
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                return int(file.metadata()["step"])
        except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
            raise UserError(
                f"{path} cannot be read ({error}). Delete it to train this run from the start."
            ) from error

    def read_checkpoint(self) -> SeedState:
        """The saved learning state of this run's seed."""
        from safetensors.numpy import load_file

        return load_file(self.path / "checkpoint.safetensors")

    def read_seconds(self) -> dict[str, float]:
        """The seconds spent up to the checkpoint, by name."""
        seconds = read_json(self.path / "checkpoint.json") or {}
        return {name: float(value) for name, value in seconds.items() if name != "step"}


def now() -> str:
    """The time as the store writes it: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a run's file, None if there is none. Raises UserError if it is broken."""
    text = read_file(path)
    if text is None:
        return None
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}). Move it away.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a JSON object. Move it away.")
    return content


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)


def _hash_of(found: Mapping[str, Any], model: type[RunSpec]) -> str:
    """The hash that the fields of a spec.json have, whatever hash it claims."""
    fields = {key: value for key, value in found.items() if key not in {"hash", "cell"}}
    try:
        return model.model_validate_json(json.dumps(fields)).hash
    except ValueError:
        return ""
