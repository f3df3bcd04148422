"""The lock file: the sha256 of every array of every dataset, as it first was on this machine.

A dataset and its manifest can be replaced together, and then agree. This file is outside of both,
so later bytes under the same id are noticed: `datasets.lock.json` in the data folder, to be kept
with results or under version control.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from harness.data.store import data_root, in_short, lock, write_errors_explained
from harness.errors import UserError
from harness.files import parse_object, write_json

NAME = "datasets.lock.json"
_FORM = TypeAdapter(dict[str, dict[str, str]])  # by dataset and array


def lock_file() -> Path:
    """Where the lock file is, or will be."""
    return data_root() / NAME


def admit(
    dataset_id: str, arrays: dict[str, Any], *, anew: str = "", taken_anew: bool = False
) -> list[str]:
    """Record a dataset that is new here; `arrays` as a manifest has them.

    `anew` is the command that takes in what has changed at its source, for a dataset that has one,
    and `taken_anew` whether it was given: then an entry is replaced, with a sentence on each array.
    Raises UserError if the lock file cannot be read or has other bytes for this id.
    """
    found = _digests(arrays)
    if found == _read().get(dataset_id):
        return []
    path = lock_file()
    with write_errors_explained(path), lock(NAME):
        entries = _read()  # again: another process may have written meanwhile
        former = entries.get(dataset_id, found)
        problem = _difference(dataset_id, former, found, anew)
        if problem and not (anew and taken_anew):
            raise UserError(problem)
        write_json(path, dict(sorted((entries | {dataset_id: found}).items())))
    return [
        f"{path}: '{name}' of {dataset_id} was sha256 {former.get(name, 'absent')}, and is now "
        f"{found.get(name, 'absent')}."
        for name in _changed(former, found)
    ]


def compare(dataset_id: str, arrays: dict[str, Any], *, anew: str = "") -> list[str]:
    """What is wrong by the lock file with a dataset of these arrays, a sentence at most.

    `anew` as for `admit`.
    """
    try:
        locked = _read().get(dataset_id)
    except UserError as error:
        return [str(error)]
    if locked is None:
        return [
            f"{lock_file()} has no entry for {dataset_id}, so nothing but its own manifest vouches "
            f"for it. If you trust it, record it with: python -m harness data make {dataset_id}"
        ]
    problem = _difference(dataset_id, locked, _digests(arrays), anew)
    return [problem] if problem else []


def _digests(arrays: dict[str, Any]) -> dict[str, str]:
    return {name: digest["sha256"] for name, digest in arrays.items()}


def _changed(locked: dict[str, str], found: dict[str, str]) -> list[str]:
    names = sorted(locked.keys() | found.keys())
    return [name for name in names if locked.get(name) != found.get(name)]


def _difference(dataset_id: str, locked: dict[str, str], found: dict[str, str], anew: str) -> str:
    changed = _changed(locked, found)
    if not changed:
        return ""
    new_ones = (
        f"take in what is at its source now with: {anew}"
        if anew
        else f"delete the entry '{dataset_id}' from that file to go on with the new ones."
    )
    return (
        f"{dataset_id} is another version than the one first recorded here: the bytes of "
        f"{', '.join(changed)} are not those in {lock_file()}. Results from both do not compare: "
        f"bring the recorded data back, or {new_ones}"
    )


def _read() -> dict[str, dict[str, str]]:
    path = lock_file()
    try:
        return _FORM.validate_python(parse_object(path.read_bytes()), strict=True)
    except (FileNotFoundError, NotADirectoryError):  # the latter is explained by who writes
        return {}
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({in_short(error)}). Restore it from a backup, or "
            "delete it to have the data that are here now recorded anew."
        ) from error
