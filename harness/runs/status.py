"""`status.json`: how far a run is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

State = Literal["running", "done", "failed", "interrupted"]
_Steps = Annotated[int, Field(ge=0, le=10**12)]


@dataclass(frozen=True)
class Status:
    """How far a run is. Seconds are of its whole trial and add up over resumptions."""

    state: State
    step: _Steps
    total_steps: _Steps
    invocation: str  # which `harness run` wrote this
    started: str  # ISO 8601, UTC
    activity: str = ""  # what it is at, while it is running
    error: str = ""
    finished: str = ""
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    wall_seconds: float = 0.0
    steps_per_second: float = 0.0
    peak_memory_mb: float = 0.0  # of the trial's process so far
    evaluated_step: _Steps = 0
    latest_score: float | None = None  # normalised, in points
    note: str = ""  # what a reader should know, such as a damaged checkpoint that was passed over
    seals: dict[str, str] = field(default_factory=dict)  # sha256 of a done run's files, by name

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Status | None:
        """What a file's content says; None if it is no status. Fields of other versions are left.

        A wrong value counts as none: a status is written anew whenever its run goes on. Letters
        that no file can have, which errors quote from names that are no UTF-8, become '?'.
        """
        known = {name: value for name, value in found.items() if name in _FIELDS}
        for name, value in known.items():
            if isinstance(value, str):
                known[name] = value.encode("utf-8", "replace").decode()
        try:
            return _STATUS.validate_python(known)
        except ValueError:
            return None


_FIELDS = {found.name for found in fields(Status)}
_STATUS = TypeAdapter(Status)


def now() -> str:
    """The time as the store writes it: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
