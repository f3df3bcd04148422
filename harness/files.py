"""Files that appear whole or not at all, and the digest of plain data."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import UserError


def write_bytes(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Replace `path` in one step: readers see the old or the new content, never a part.

    Args:
        path: its folder is made if missing.
        content: the whole file.
        durable: also wait for the disk, so that the content survives a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_of(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_of(path: Path) -> Path:
    """Where this process writes what is to become `path`; another process writes elsewhere."""
    return path.with_name(f"{path.name}.{os.getpid()}.tmp")


def write_json(path: Path, content: Mapping[str, Any], *, durable: bool = False) -> None:
    """Replace `path` by `content` as indented JSON."""
    write_bytes(path, json_bytes(content), durable=durable)


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """`content` as an indented JSON file holds it."""
    return (json.dumps(content, indent=2) + "\n").encode()


def parse_object(content: bytes) -> dict[str, Any]:
    """The JSON object that a file holds. Raises ValueError for anything else, however damaged."""
    try:
        found = json.loads(content)
    except RecursionError as error:
        raise ValueError("its brackets are nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("it holds no JSON object")
    return found


def digest_of(value: Any) -> str:
    """Sha256 of a value made of plain data, whatever the order of its keys.

    Raises ValueError for numbers that are not finite.
    """
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def short_digest(value: Any) -> str:
    """The first 16 digits of `digest_of`, for the names of folders."""
    return digest_of(value)[:16]


def refuse_link(path: Path) -> None:
    """Raises UserError if what would be written into is a link: it may lead anywhere."""
    if path.is_symlink():
        raise UserError(
            f"{path} is a link, and results are not written through links. Nothing was changed. "
            "Move it away, or link the whole results folder instead."
        )
