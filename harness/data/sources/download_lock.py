"""sha256 of files that datasets are made of and that are not made here.

Locked when they are first taken in, compared ever after.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from harness.data.store import data_root, in_short, lock
from harness.errors import UserError
from harness.files import parse_object, write_json


class _Entry(TypedDict):
    """What code relies on in an entry of the lock file."""

    sha256: str
    date: str


_FORM = TypeAdapter(dict[str, _Entry])


@dataclass(frozen=True)
class ExpectedHash:
    """The sha256 that a file must have, and who says so."""

    sha256: str
    source: str


@dataclass(frozen=True)
class SourceFile:
    """A file that a dataset is made of and that was not made here.

    Attributes:
        name: by which it is locked, the same wherever it lies.
        path: where it is.
        origin: where it came from, in words.
        published: the sha256 that it must have; None if nobody says.
    """

    name: str
    path: Path
    origin: str
    published: str | None = None


def lock_file() -> Path:
    """Where the locks are: by file name their `sha256`, `bytes`, `origin` and `date`."""
    return data_root() / "files.lock.json"


def expected(name: str, published: str | None) -> ExpectedHash | None:
    """What a file of this name must be: as published, else as locked; None before it is known."""
    if published is not None:
        return ExpectedHash(published, "a second party's record of D4RL's files")
    entry = _read().get(name)
    return ExpectedHash(entry["sha256"], f"{lock_file()} of {entry['date']}") if entry else None


def check(files: Iterable[SourceFile], anew: str, *, taken_anew: bool = False) -> dict[str, str]:
    """The sha256 of files by name; nothing is locked.

    `anew` is the command that takes in files that have changed, and `taken_anew` whether it was
    given. Raises UserError for a file that is not what was published, or else locked.
    """
    digests = {}
    for file in files:
        found, known = sha256_of(file.path), expected(file.name, file.published)
        digests[file.name] = found
        if known is None or found == known.sha256:
            continue
        if file.published:
            raise UserError(
                f"{file.path} is not the file it should be: sha256 {found[:16]}…, expected "
                f"{known.sha256[:16]}… ({known.source}). Delete it and fetch it again."
            )
        if not taken_anew:
            raise UserError(changed(file.path, found, known, anew))
    return digests


def changed(path: Path, found: str, known: ExpectedHash, anew: str) -> str:
    """The message for a file that is not the one that was taken in."""
    return (
        f"{path} has changed since it was taken in: its sha256 is {found[:16]}…, and was "
        f"{known.sha256[:16]}… ({known.source}). Bring the former file back, or take this one in "
        f"with: {anew}"
    )


def record(files: Iterable[SourceFile], digests: Mapping[str, str]) -> list[str]:
    """Lock files of these sha256 from now on; a sentence on every entry that is replaced."""
    replaced = []
    with lock("files.lock"):
        entries = _read()
        for file in files:
            found, former = digests[file.name], entries.get(file.name, {}).get("sha256")
            if found == former:
                continue
            if former is not None:
                replaced.append(
                    f"{lock_file()}: {file.name} was sha256 {former}, and is now {found}."
                )
            entries[file.name] = {
                "sha256": found,
                "bytes": file.path.stat().st_size,
                "origin": file.origin,
                "date": datetime.date.today().isoformat(),
            }
        write_json(lock_file(), dict(sorted(entries.items())))
    return replaced


def sha256_of(path: Path) -> str:
    """Of a whole file. Raises UserError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error


def _read() -> dict[str, Any]:
    path = lock_file()
    try:
        content = path.read_bytes() if path.exists() else b"{}"
        entries: dict[str, Any] = parse_object(content)
        _FORM.validate_python(entries, strict=True)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({in_short(error)}). It says what fetched files "
            "must be: restore it, or delete it to trust the files that are there now."
        ) from error
    return entries
