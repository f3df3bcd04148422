"""Finished runs of one cell as one small file: `<cell>.tar.xz` stands where the cell's folder did.

The runs of a cell share most of their specs and provenance, and a suite has hundreds of runs, so
that one file takes a fraction of the room of one folder per run. A run that has a folder is read
from it and from nothing else.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import lzma
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from harness.errors import UserError
from harness.files import parse_object

ARCHIVE_SUFFIX = ".tar.xz"

Members = Mapping[str, bytes]
"""Contents by name: `seed-0/spec.json`, …"""

_NAME = re.compile(r"[A-Za-z0-9_-][\w.-]*/[A-Za-z0-9_-][\w.-]*")
_DIGESTS = "archive/sha256.json"  # of all other members, by name
_MOST_BYTES = 2**30  # unpacked; a cell's runs have a few megabytes


def read_file(path: Path) -> bytes | None:
    """A run's file, from its folder or from its cell's archive; None if it is in neither.

    Raises UserError for an archive that is damaged.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        run = path.parent
        return None if run.is_dir() else members_of(run.parent).get(f"{run.name}/{path.name}")


def archive_path(cell: Path) -> Path:
    """Where the archive of a cell's runs is, if there is one."""
    return cell.with_name(f"{cell.name}{ARCHIVE_SUFFIX}")


def members_of(cell: Path) -> Members:
    """What the cell's archive holds; nothing if there is none.

    Raises UserError if it is not what was packed.
    """
    path = archive_path(cell)
    try:
        file = path.stat()
    except FileNotFoundError:
        return {}
    # Another file each time it is written; its time alone may be the same for seconds.
    return _read(path, (file.st_mtime_ns, file.st_ino, file.st_size))


def archive_bytes(members: Members) -> bytes:
    """The archive of these contents. No times, no owners: equal contents are equal bytes."""
    digests = {name: hashlib.sha256(members[name]).hexdigest() for name in sorted(members)}
    content = {**members, _DIGESTS: (json.dumps(digests, indent=1) + "\n").encode()}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        for name in sorted(content):
            member = tarfile.TarInfo(name)
            member.size = len(content[name])
            archive.addfile(member, io.BytesIO(content[name]))
    return packed.getvalue()


@functools.lru_cache(maxsize=8)  # readers go through a suite cell by cell
def _read(path: Path, version: tuple[int, ...]) -> dict[str, bytes]:  # noqa: ARG001
    try:
        found = _unpack(path)
        # Archives from before there were digests have none.
        digests = parse_object(found.pop(_DIGESTS)) if _DIGESTS in found else None
        if digests is not None:
            actual = {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
            if actual != digests:
                wrong = sorted(dict(actual.items() ^ digests.items()))
                raise ValueError(f"not what was packed: {', '.join(wrong[:4])}")
    except (OSError, ValueError, AttributeError, EOFError, lzma.LZMAError, tarfile.TarError) as e:
        raise UserError(
            f"{path} is damaged ({e}). Bring it back from a copy, or delete it and run the suite "
            "again."
        ) from e
    return found


class _PlainFile(tarfile.TarInfo):
    """A member that is a file and nothing more, refused before it is looked into.

    Headers that go on for as long as they say, as those of long names, are read whole otherwise.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
            raise ValueError(_not_ours(found.name))
        return found


def _not_ours(name: str) -> str:
    return f"it has a member '{name}' that no run leaves"


def _unpack(path: Path) -> dict[str, bytes]:
    """Plain files with plain names, each once. Raises ValueError for anything else."""
    found: dict[str, bytes] = {}
    room = _MOST_BYTES
    with tarfile.open(path, "r:xz", tarinfo=_PlainFile) as archive:
        for member in archive:
            room -= tarfile.BLOCKSIZE + member.size
            if not _NAME.fullmatch(member.name) or member.name in found:
                raise ValueError(_not_ours(member.name))
            if room < 0:
                raise ValueError(f"it would unpack to more than {_MOST_BYTES // 2**20} MiB")
            content = archive.extractfile(member)
            assert content is not None
            found[member.name] = content.read()
    return found
