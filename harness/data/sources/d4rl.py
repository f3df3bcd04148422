"""D4RL's HDF5 files: where they are on this machine, and how they get there.

They lie in the folder `HARNESS_D4RL_DATA`, or in `d4rl` of the data folder, under their own names
as D4RL itself keeps them. `HARNESS_D4RL_MIRRORS` lists other places to fetch them from.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py

from harness.data.recipes.d4rl_steps import REQUIRED, read_steps
from harness.data.sources import download_lock
from harness.data.sources.download import Patience, RefusedError, download
from harness.data.sources.download_lock import SourceFile
from harness.data.store import data_root, lock, make_command, write_errors_explained
from harness.errors import UserError
from harness.tasks.d4rl_files import ADDRESS
from harness.tasks.spec import TaskSpec

PATIENCE = Patience()


def folder() -> Path:
    """Where D4RL's files are looked for, and fetched to."""
    given = os.environ.get("HARNESS_D4RL_DATA")
    return Path(given).expanduser().absolute() if given else data_root() / "d4rl"


def file_of(task: TaskSpec) -> Path:
    """Where the file of a task is or will be."""
    return folder() / _name(task)


def absent(task: TaskSpec) -> str:
    """That the file of a task is not there, and how to get it; empty if it is."""
    if file_of(task).is_file():
        return ""
    return (
        f"{task.dataset.id} needs D4RL's file {_name(task)}, which is not in {folder()}. Get it "
        f"with: python -m harness data fetch {task.dataset.id}"
    )


def source(task: TaskSpec, origin: str = "") -> SourceFile:
    """A task's file. Raises UserError if it is absent."""
    if missing := absent(task):
        raise UserError(missing)
    where = origin or f"found in {folder()}"
    return SourceFile(_name(task), file_of(task), where, _published(task))


def fetch(task: TaskSpec, progress: Callable[[str, int, int], None]) -> list[str]:
    """Bring a task's file here unless it is; returns what went wrong on the way, a sentence each.

    What is downloaded is locked. Raises UserError if no mirror has it.
    """
    final, name, file = file_of(task), _name(task), task.dataset.params["file"]
    notes: list[str] = []
    with write_errors_explained(final), lock(f"fetch-{name}"):
        if not final.exists():
            origin, notes = download(
                # As D4RL's server has it, then as flat mirrors do.
                [f"{mirror}/{path}" for mirror in mirrors() for path in (file, name)],
                final,
                size=_size(task),
                check=lambda part: _check(task, part),
                progress=lambda done, total: progress(f"fetching {name} (bytes)", done, total),
                patience=PATIENCE,
            )
            fetched = [source(task, origin)]
            anew = make_command(task, force=True)
            download_lock.record(fetched, download_lock.check(fetched, anew))
    return notes


def mirrors() -> list[str]:
    """The addresses that files are fetched from, the first one first.

    Raises UserError for what is not an address, and for one with a password or a token: addresses
    are printed and recorded.
    """
    given = os.environ.get("HARNESS_D4RL_MIRRORS", "").replace(",", " ").split() or [ADDRESS]
    for mirror in given:
        if "@" in mirror or "?" in mirror:
            raise UserError(
                "HARNESS_D4RL_MIRRORS must list addresses without user, password or token (nothing "
                "before '@' or after '?'), as they are printed and recorded. Files from a place "
                "that needs them go into the folder that HARNESS_D4RL_DATA names."
            )
        if not mirror.startswith(("http://", "https://")):
            raise UserError(
                f"HARNESS_D4RL_MIRRORS must list http:// or https:// addresses, separated by "
                f"spaces; found '{mirror}'. For a folder set HARNESS_D4RL_DATA instead."
            )
    return [mirror.rstrip("/") for mirror in given]


def _check(task: TaskSpec, part: Path) -> None:
    """Raises RefusedError unless these are the bytes that a task's file must have."""
    size, found = _size(task), part.stat().st_size
    with part.open("rb") as file:
        beginning = file.read(200).lstrip().lower()
    if beginning.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise RefusedError("it sent a web page instead of the file")
    if size is not None and found != size:
        raise RefusedError(f"it sent {found:,} bytes, not {size:,}")
    known = download_lock.expected(_name(task), _published(task))
    if known is not None and (sha256 := download_lock.sha256_of(part)) != known.sha256:
        raise RefusedError(
            f"it sent other bytes: sha256 {sha256[:16]}…, expected {known.sha256[:16]}… "
            f"({known.source})"
        )
    try:
        with h5py.File(part, "r") as file:
            lacking = [name for name in REQUIRED if name not in file]
    except OSError as error:
        raise RefusedError(f"it sent no readable HDF5 file ({error})") from error
    if lacking:
        raise RefusedError(f"it sent an HDF5 file without {', '.join(lacking)}")
    try:
        read_steps(part)
    except UserError as error:
        raise RefusedError(f"it sent a file that cannot be used ({error})") from error


def _name(task: TaskSpec) -> str:
    return str(task.dataset.params["file"]).rpartition("/")[2]


def _published(task: TaskSpec) -> str | None:
    sha256 = task.dataset.params["sha256"]
    return None if sha256 is None else str(sha256)


def _size(task: TaskSpec) -> int | None:
    size = task.dataset.params["bytes"]
    return size if isinstance(size, int) else None
