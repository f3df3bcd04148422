"""Finished runs of one cell as one small file: `<cell>.tar.xz` stands where the cell's folder did.

The runs of a cell share most of their specs and provenance, and a suite has hundreds of runs, so
that one file takes a fraction of the room of a folder a run. A run that has a folder is read from
it and from nothing else.
"""

from __future__ import annotations

import functools
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

ARCHIVE_SUFFIX = ".tar.xz"

Members = Mapping[str, bytes]
"""Contents by name: `seed-0/spec.json`, …"""


def read_file(path: Path) -> bytes | None:
    """A run's file, from its folder or from its cell's archive; None if it is in neither."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        run = path.parent
        return None if run.is_dir() else members_of(run.parent).get(f"{run.name}/{path.name}")


def archive_path(cell: Path) -> Path:
    """Where the archive of a cell's runs is, if there is one."""
    return cell.with_name(f"{cell.name}{ARCHIVE_SUFFIX}")


def members_of(cell: Path) -> Members:
    """What the cell's archive holds; nothing if there is none."""
    path = archive_path(cell)
    try:
        changed = path.stat().st_mtime_ns
    except FileNotFoundError:
        return {}
    return _read(path, changed)


def archive_bytes(members: Members) -> bytes:
    """The archive of these contents. No times, no owners: equal contents are equal bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        for name in sorted(members):
            member = tarfile.TarInfo(name)
            member.size = len(members[name])
            archive.addfile(member, io.BytesIO(members[name]))
    return packed.getvalue()


@functools.lru_cache(maxsize=8)  # readers go through a suite cell by cell
def _read(path: Path, changed: int) -> dict[str, bytes]:  # noqa: ARG001
    found = {}
    with tarfile.open(path, "r:xz") as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                found[member.name] = content.read()
    return found
