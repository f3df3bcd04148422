"""sha256 of files that are not made here: locked when first seen, compared ever after."""

from __future__ import annotations

import datetime
import hashlib
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
class Expected:
    """The sha256 that a file must have, and who says so."""

    sha256: str
    source: str


def lock_file() -> Path:
    """Where the locks are: by file name their `sha256`, `bytes`, `origin` and `date`."""
    return data_root() / "files.lock.json"


def expected(name: str, published: str | None) -> Expected | None:
    """What a file of this name must be: as published, else as locked; None before it is known."""
    if published is not None:
        return Expected(published, "a second party's record of D4RL's files")
    entry = _read().get(name)
    return Expected(entry["sha256"], f"{lock_file()} of {entry['date']}") if entry else None


def hold(name: str, path: Path, published: str | None, origin: str) -> str:
    """The sha256 of a file, locked from now on if it was not; `origin` is where it came from.

    Raises UserError if the file is not what was published or locked.
    """
    found, known = sha256_of(path), expected(name, published)
    if known is not None and found != known.sha256:
        raise UserError(
            f"{path} is not the file it should be: sha256 {found[:16]}…, expected "
            f"{known.sha256[:16]}… ({known.source}). Delete it and fetch it again"
            f"{'' if published else ', or delete its entry there if it was changed on purpose'}."
        )
    with lock("files.lock"):
        entries = _read()
        if entries.get(name, {}).get("sha256") != found:
            entries[name] = {
                "sha256": found,
                "bytes": path.stat().st_size,
                "origin": origin,
                "date": datetime.date.today().isoformat(),
            }
            write_json(lock_file(), dict(sorted(entries.items())))
    return found


def sha256_of(path: Path) -> str:
    """Of a whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
