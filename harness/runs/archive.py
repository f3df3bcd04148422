"""Finished runs of one task as one small file: `<task>.tar.xz` stands where the task's folder did.

Runs share most of their specs and provenance, and a suite has hundreds of them, so that one file
takes a fraction of the room of one folder per run. A run that has a folder is read from it and from
nothing else. Where runs are large or many, and by earlier versions, the runs of each cell are in an
archive of their own, `<task>/<cell>.tar.xz`.
"""

from __future__ import annotations

import functools
import hashlib
import io
import lzma
import re
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from harness.errors import UserError
from harness.files import json_bytes, parse_object, write_bytes
from harness.runs.scores_column import with_scores, without_scores

ARCHIVE_SUFFIX = ".tar.xz"

Members = Mapping[str, bytes]
"""Contents by name: `<cell>/seed-0/spec.json`, …"""

_WORD = r"[A-Za-z0-9_-][\w.+-]*"
_NAME = re.compile(rf"{_WORD}(/{_WORD}){{1,2}}")
_CELL = re.compile(rf"{_WORD}-[0-9a-f]{{8}}{re.escape(ARCHIVE_SUFFIX)}")  # of its archive
_FIRST = "spec.json"  # which every run has
_DIGESTS = "archive/sha256.json"  # of all other members as they were packed, by name
_EMPTIED = "archive/without_scores.json"  # names of the tables whose scores are left out
_DAMAGE = (
    OSError,
    ValueError,
    AttributeError,
    KeyError,
    TypeError,
    EOFError,
    lzma.LZMAError,
    tarfile.TarError,
)
_MOST_TOGETHER = 2**24  # bytes unpacked, in a task's archive: it is read whole
_MOST_BYTES = 2**30  # unpacked; a cell's runs have a few megabytes


def read_file(path: Path) -> bytes | None:
    """A run's file, from its folder or from an archive; None if it is in neither.

    Raises UserError for an archive that is damaged.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        run = path.parent
        if run.is_dir():
            return None
    cell = run.parent
    within = f"{cell.name}/{run.name}/"
    together = _members(archive_path(cell.parent))
    if f"{within}{_FIRST}" in together:
        return together.get(f"{within}{path.name}")
    return _members(archive_path(cell)).get(f"{run.name}/{path.name}")


def ensure_undamaged(run: Path) -> None:
    """Raise UserError if the run has no folder, and an archive that may hold it is damaged."""
    if not run.is_dir():
        for folder in (run.parent.parent, run.parent):
            _members(archive_path(folder))


def archive_path(folder: Path) -> Path:
    """Where the archive is of the runs in a task's folder, or in a cell's."""
    return folder.with_name(f"{folder.name}{ARCHIVE_SUFFIX}")


def archive_of(run: Path) -> Path | None:
    """The archive that may hold the run; None if there is none."""
    cell = run.parent
    return next(filter(Path.is_file, map(archive_path, (cell.parent, cell))), None)


def cells_of(task: Path) -> set[str]:
    """Names of the cells in a task's folder and in its archives.

    Raises UserError for an archive that is damaged.
    """
    names = {path.name.removesuffix(ARCHIVE_SUFFIX) for path in task.glob("*")}
    path = archive_path(task)
    return names | _cells(path, *_version(path)) if path.is_file() else names


def members_of(task: Path) -> Members:
    """What the archives of a task hold; nothing if there is none.

    Raises UserError if it is not what was packed.
    """
    found = dict(_members(archive_path(task)))
    together = {name.rpartition("/")[0] for name in found}
    for path in cell_archives(task):
        cell = path.name.removesuffix(ARCHIVE_SUFFIX)
        alone = {f"{cell}/{name}": content for name, content in _members(path).items()}
        found |= {name: alone[name] for name in alone if name.rpartition("/")[0] not in together}
    return found


def cell_archives(task: Path) -> list[Path]:
    """The archives of single cells in a task's folder; other files there are none of ours."""
    return sorted(
        p for p in task.glob(f"*{ARCHIVE_SUFFIX}") if _CELL.fullmatch(p.name) and p.is_file()
    )


def write_members(task: Path, members: Members) -> None:
    """Make one archive of what a task's archives are to hold, or one a cell of what is much.

    Killed at any time, every run is in an archive as it was or as it is to be. Raises UserError,
    before anything is written, for a file of a name that no run leaves.
    """
    for name in members:
        if not _NAME.fullmatch(name):
            raise UserError(f"{task / name} is not packed: {_not_ours(name)}. Move it away.")
    by_cell: dict[str, dict[str, bytes]] = {}
    for name, content in members.items():
        cell, _, rest = name.partition("/")
        by_cell.setdefault(cell, {})[rest] = content
    wanted: dict[Path, Members] = {archive_path(task): members} if members else {}
    if sum(map(len, members.values())) > _MOST_TOGETHER:
        wanted = {archive_path(task / cell): by_cell[cell] for cell in by_cell}
    stale = {archive_path(task), *cell_archives(task)}
    for path, runs in wanted.items():
        if _members(path) != runs:
            write_bytes(path, _archive_bytes(runs), durable=True)
    for path in stale - wanted.keys():
        path.unlink(missing_ok=True)
    with suppress(OSError):  # there is more in it, or it was not there
        task.rmdir()


def _members(path: Path) -> Members:
    """What an archive holds; nothing if there is none."""
    try:
        version = _version(path)
    except FileNotFoundError:
        return {}
    return _read(path, *version)


def _version(path: Path) -> tuple[int, int, int]:
    """Another one each time the file is written; its time alone may be the same for seconds."""
    file = path.stat()
    return file.st_mtime_ns, file.st_ino, file.st_size


@functools.lru_cache(maxsize=64)
def _cells(path: Path, *version: int) -> frozenset[str]:
    """Names of the cells in a task's archive."""
    return frozenset(name.partition("/")[0] for name in _read(path, *version))


def _archive_bytes(members: Members) -> bytes:
    """The archive of these contents. No times, no owners: equal contents are equal bytes."""
    digests = {name: hashlib.sha256(members[name]).hexdigest() for name in sorted(members)}
    emptied = without_scores(members)
    content = {**members, **emptied, _DIGESTS: json_bytes(digests)}
    if emptied:
        content[_EMPTIED] = json_bytes({"names": sorted(emptied)})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        for name in sorted(content):
            member = tarfile.TarInfo(name)
            member.size = len(content[name])
            archive.addfile(member, io.BytesIO(content[name]))
    return packed.getvalue()


@functools.lru_cache(maxsize=64)  # tasks and families of them, of which one is read often
def _read(path: Path, *version: int) -> dict[str, bytes]:  # noqa: ARG001
    try:
        found = _unpack(path)
        # Archives from before there were digests have none.
        digests = parse_object(found.pop(_DIGESTS)) if _DIGESTS in found else None
        emptied = parse_object(found.pop(_EMPTIED))["names"] if _EMPTIED in found else []
        found |= with_scores(found, emptied)
        if digests is not None:
            actual = {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}
            if actual != digests:
                wrong = sorted(dict(actual.items() ^ digests.items()))
                raise ValueError(f"not what was packed: {', '.join(wrong[:4])}")
    except _DAMAGE as e:
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
