"""Where data lie on disk, and how files there appear: whole or not at all, one writer at a time."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from harness.errors import UserError
from harness.files import parse_object
from harness.tasks.spec import TaskSpec

_UNWRITABLE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EACCES,
    errno.EROFS,
    errno.ENOTDIR,
}
MANIFEST = "manifest.json"


class ArrayDigest(TypedDict):
    """What a manifest says of an array."""

    sha256: str
    dtype: str
    shape: list[int]


class Manifest(TypedDict):
    """What code relies on in the manifest of a dataset, which may say more."""

    dataset: dict[str, Any]
    constants: dict[str, Any]
    versions: dict[str, Any]
    episodes: int
    steps: int
    bytes: int
    arrays: dict[str, ArrayDigest]


_MADE = TypeAdapter(Manifest)


def data_root() -> Path:
    """The folder of all data: the environment variable HARNESS_DATA, else ./data (absolute)."""
    return Path(os.environ.get("HARNESS_DATA") or "data").absolute()


def rows_root() -> Path:
    """The folder of packed rows: the environment variable HARNESS_CACHE, else `data_root()`.

    A folder on each node's own disk has every node of a cluster pack once what its trials share.
    """
    given = os.environ.get("HARNESS_CACHE")
    return Path(given).absolute() if given else data_root()


@dataclass(frozen=True)
class DatasetFolder:
    """A dataset on disk: `data/` in Minari's layout and our manifest beside it."""

    path: Path

    @classmethod
    def of(cls, task: TaskSpec) -> DatasetFolder:
        return cls(data_root() / "minari" / task.dataset.id)

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def exists(self) -> bool:
        return (self.path / MANIFEST).exists()

    def manifest(self) -> dict[str, Any]:
        """Raises UserError if it cannot be read, or does not say what every manifest says."""
        return read_manifest(self.path / MANIFEST, _MADE)


def make_command(task: TaskSpec, *, force: bool = False) -> str:
    """What to type to make (or remake) a task's dataset."""
    return f"python -m harness data make {task.dataset.id}{' --force' if force else ''}"


def read_manifest(path: Path, form: TypeAdapter[Any]) -> dict[str, Any]:
    """The content of a manifest. Raises UserError if it cannot be read or lacks what `form` has."""
    try:
        content = parse_object(path.read_bytes())
        form.validate_python(content, strict=True)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({in_short(error)}). Delete the folder {path.parent}; it is "
            "made again when it is next needed."
        ) from error
    return content


def in_short(error: Exception) -> str:
    """What an error says, in a line; of what is wrong with a file's content the first."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)


def lock(name: str, root: Path | None = None) -> FileLock:
    """The lock that whoever writes `name` below `root` (`data_root()` if not given) holds."""
    folder = (root or data_root()) / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{name.replace('/', '_')}.lock")


@contextlib.contextmanager
def write_errors_explained(path: Path) -> Iterator[None]:
    """Turns a full disk, or a folder that cannot be written to, into a UserError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise UserError(
            f"{path} could not be written: {os.strerror(error.errno)}. Nothing half-written was "
            "left. Free some space, or set HARNESS_DATA to a folder with room for it, and start "
            "again."
        ) from error


@contextlib.contextmanager
def appearing(final: Path) -> Iterator[Path]:
    """A folder to fill that becomes `final` at the end, replacing what was there.

    Whatever fails inside, nothing half-written is left. Hold the `lock` for `final` around it.
    """
    # Hidden, so that Minari's listing passes over it; a fixed name, so that a killed writer's
    # leftovers are cleared by the next one.
    partial = final.parent / f".{final.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
