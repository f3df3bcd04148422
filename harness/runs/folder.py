"""The results store: one folder of plain files a run, each written whole or not at all."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.files import parse_object, write_bytes, write_json
from harness.runs.archive import archive_of, members_of, read_file, write_members
from harness.runs.checkpoint import Checkpoint, DamagedError
from harness.runs.status import Status

if TYPE_CHECKING:
    from harness.runs.spec import RunSpec

_ALWAYS = ("spec.json", "evaluations.csv")
_CHECKPOINT, _PREVIOUS = "checkpoint.safetensors", "checkpoint.previous.safetensors"


class RunFolder:
    """The files of one run. Nothing else reads or writes them while the run goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write_spec(self, spec: RunSpec) -> None:
        write_json(self.path / "spec.json", spec.to_json())

    def check_spec(self, spec: RunSpec) -> None:
        """Raises UserError if the folder holds a run of another spec; no folder is fine.

        A damaged spec.json is no other spec: it is written anew when the run is repaired.
        """
        try:
            found = read_json(self.path / "spec.json")
        except UserError:
            return
        wanted = spec.to_json()
        if found is None or found == wanted:
            return
        with suppress(ValueError):  # of another version
            if found.get("hash") == spec.of_json(found).hash == spec.hash:  # in other words
                return
        if "spec.json" in self._broken_seals(self.status()):
            return
        wrong = [key for key in {**wanted, **found} if found.get(key) != wanted.get(key)]
        raise UserError(
            f"{self.path} holds the results of a different spec: its spec.json differs in "
            f"{', '.join(wrong)}. Nothing was changed. Move the folder away, or let "
            "`run --fresh` delete it."
        )

    def link_below(self, directory: Path) -> Path | None:
        """The first link on the way from `directory` to the folder; None if there is none.

        Through a link, results would be written to or read from another place.
        """
        way = [self.path, *self.path.parents]
        below = way[: way.index(directory)] if directory in way else way[:1]
        return next((path for path in reversed(below) if path.is_symlink()), None)

    def write_provenance(self, provenance: Mapping[str, Any]) -> None:
        write_json(self.path / "provenance.json", provenance)

    def changed(self) -> float:
        """When the run last changed, in seconds since 1970; infinity if there is nothing of it."""
        for path in (self.path / "status.json", archive_of(self.path)):
            with suppress(OSError):
                if path is not None:
                    return path.stat().st_mtime
        return math.inf

    def exists(self) -> bool:
        """Whether there is anything of the run, in a folder or packed."""
        return self.path.is_dir() or read_file(self.path / "spec.json") is not None

    def status(self) -> Status | None:
        """The latest status, or None before the run has started and where it cannot be read."""
        try:
            found = read_json(self.path / "status.json")
        except UserError:
            return None
        return Status.of(found) if found is not None else None

    def write_status(self, status: Status) -> None:
        """Replace the status. Once a run is done, its files are on the disk and sealed by it."""
        if status.state == "done":
            status = replace(status, seals=self._seal())
        write_json(self.path / "status.json", asdict(status), durable=status.state != "running")

    def is_done(self) -> bool:
        """Whether the run has come to its end and all its files are as it left them."""
        return self.done_status() is not None

    def done_status(self) -> Status | None:
        """The status of a run that has come to its end with all its files as it left them."""
        status = self.status()
        if status is None or status.state != "done" or status.evaluated_step != status.total_steps:
            return None
        return None if self.damage(status) else status

    def damage(self, status: Status | None) -> list[str]:
        """What is wrong with the files of a run whose status says it is done, a sentence each."""
        return [f"{name} {what}" for name, what in self._broken_seals(status).items()]

    def is_intact(self, name: str) -> bool:
        """Whether a file is there, and is what the run wrote if the run is done."""
        there = read_file(self.path / name) is not None
        return there and name not in self._broken_seals(self.status())

    def _broken_seals(self, status: Status | None) -> dict[str, str]:
        if status is None or status.state != "done":
            return {}
        # Runs from before results were sealed have no digests.
        wanted = dict.fromkeys(_ALWAYS, "") | status.seals
        broken = {}
        for name, digest in wanted.items():
            content = read_file(self.path / name)
            if content is None:
                broken[name] = "is gone"
            elif digest and hashlib.sha256(content).hexdigest() != digest:
                broken[name] = "is not what the run wrote"
        return broken

    def _seal(self) -> dict[str, str]:
        """Wait until every result file is on the disk; their sha256."""
        seals = {}
        for path in sorted(self.path.iterdir()):
            if path.name.endswith(".tmp") or path.name.startswith(("status.", "checkpoint.")):
                continue
            if path.is_dir():  # of trackers, whose files are not results
                continue
            with path.open("rb") as file:
                seals[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
        return seals

    def write_table(self, name: str, content: bytes) -> None:
        """Replace `<name>.csv`."""
        write_bytes(self.path / f"{name}.csv", content)

    def delete_table(self, name: str) -> None:
        """Remove `<name>.csv` if there is one."""
        (self.path / f"{name}.csv").unlink(missing_ok=True)

    def read_table(self, name: str) -> bytes | None:
        """The content of `<name>.csv`, None if there is none."""
        return read_file(self.path / f"{name}.csv")

    def write_checkpoint(self, checkpoint: Checkpoint, seconds: Mapping[str, float]) -> None:
        """Save a checkpoint and the seconds spent on it so far.

        The one before stays beside it, unless that is damaged: then the one before that does.
        """
        path = self.path / _CHECKPOINT
        with suppress(DamagedError):
            if Checkpoint.read(path, checkpoint.owner) is not None:
                os.replace(path, self.path / _PREVIOUS)
        checkpoint.write(path)
        write_json(self.path / "checkpoint.json", {"step": checkpoint.step, **seconds})

    def read_checkpoint(self, owner: str) -> tuple[Checkpoint | None, list[str]]:
        """The latest checkpoint of `owner` that can be trusted, and what is wrong with later ones.

        None if there is none. What is wrong are sentences.
        """
        wrong = []
        for name in (_CHECKPOINT, _PREVIOUS):
            try:
                checkpoint = Checkpoint.read(self.path / name, owner)
            except DamagedError as damage:
                wrong.append(str(damage))
            else:
                if checkpoint is not None:
                    return checkpoint, wrong
        return None, wrong

    def read_seconds(self) -> dict[str, float]:
        """The seconds spent up to the checkpoint, by name; none if they were lost."""
        try:
            seconds = read_json(self.path / "checkpoint.json") or {}
            return {name: float(value) for name, value in seconds.items() if name != "step"}
        except (UserError, TypeError, ValueError):
            return {}

    def clear_leftovers(self) -> None:
        """Delete what a killed writer of this run left half-written."""
        for path in self.path.glob("*.tmp"):
            path.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a run's file, None if there is none. Raises UserError if it is broken."""
    text = read_file(path)
    if text is None:
        return None
    try:
        return parse_object(text)
    except ValueError as error:
        raise UserError(f"{path} cannot be read ({error}). Move it away.") from error


def delete_runs(folders: Iterable[RunFolder]) -> None:
    """Remove runs' folders, and the runs from the archives of their tasks."""
    by_task: dict[Path, set[str]] = defaultdict(set)
    for folder in folders:
        if folder.path.is_dir():
            shutil.rmtree(folder.path)
        cell = folder.path.parent
        by_task[cell.parent].add(f"{cell.name}/{folder.path.name}")
    for task, gone in by_task.items():
        packed = members_of(task)
        left = {name: packed[name] for name in packed if name.rpartition("/")[0] not in gone}
        if left != packed:
            write_members(task, left)
