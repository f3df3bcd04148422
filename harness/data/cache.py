"""The packed rows that training reads: one memory-mapped file a task, checked when it is opened."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from algorithms.transitions import Transitions
from harness.data.datasets import Progress, check_arrays, mismatch, read_checked, unreadable
from harness.data.minari_format import Digests, EpisodeArrays
from harness.data.recipe import recipe_of
from harness.data.store import (
    MANIFEST,
    DatasetFolder,
    Manifest,
    appearing,
    lock,
    make_command,
    read_manifest,
    rows_root,
    write_errors_explained,
)
from harness.errors import UserError
from harness.files import short_digest, write_json
from harness.tasks.spec import TaskSpec


class RowsDigest(TypedDict):
    """What the manifest of packed rows says of the file."""

    sha256: str


class RowsManifest(TypedDict):
    """What code relies on in the manifest of packed rows, which may say more."""

    obs_dim: int
    action_dim: int
    rows: RowsDigest
    dataset: Manifest


_ROWS = "rows.npy"
_FORM = TypeAdapter(RowsManifest)
_LAYOUT = 1  # of the rows; a new number makes new caches


@dataclass(frozen=True)
class LoadedData:
    """A task's data, ready to train on.

    Attributes:
        transitions: the packed rows, memory-mapped copy-on-write: writing never reaches the file.
        manifest: what the rows are, where they come from, and the dataset's own manifest.
        sha256: of the rows' bytes.
    """

    transitions: Transitions
    manifest: dict[str, Any]
    sha256: str


def cache_folder(task: TaskSpec) -> Path:
    """Where the task's rows are or will be; the dataset must exist."""
    return rows_root() / "cache" / _key(task)


def _key(task: TaskSpec) -> str:
    """Names the task's rows, by what decides their bytes."""
    arrays = DatasetFolder.of(task).manifest()["arrays"]
    return short_digest(
        {
            "layout": _LAYOUT,
            "dataset": task.dataset.id,
            "arrays": {name: arrays[name]["sha256"] for name in recipe_of(task).inputs},
            "rewards": task.dataset.rewards,
        }
    )


def _record(task: TaskSpec) -> Path:
    """Where the manifest of the task's rows is kept beside the dataset, for other machines."""
    return DatasetFolder.of(task).path / "packed" / f"{_key(task)}.json"


def packed_rows(task: TaskSpec) -> RowsManifest | None:
    """What the manifest of the task's rows says, unread and unchecked; None if there are none.

    The rows may be those of another machine that has the same data folder. Makes nothing. Raises
    UserError for a manifest that cannot be read.
    """
    if not DatasetFolder.of(task).exists:
        return None
    for path in (cache_folder(task) / MANIFEST, _record(task)):
        if path.exists():
            return cast(RowsManifest, read_manifest(path, _FORM))
    return None


def open_rows(task: TaskSpec) -> LoadedData:
    """Open the task's rows. Raises UserError if their bytes are not those of the manifest."""
    return _open(cache_folder(task), make_command(task, force=True))


def find_rows(sha256: str) -> LoadedData | None:
    """The rows with this hash, whichever task they are of; None if they are not on this machine.

    Raises UserError if their bytes are not those of the manifest.
    """
    for path in sorted((rows_root() / "cache").glob(f"*/{MANIFEST}")):
        manifest = read_manifest(path, _FORM)
        if manifest["rows"]["sha256"] == sha256:
            remake = (
                f"python -m harness data make {manifest['dataset']['dataset'].get('id')} --force"
            )
            return _open(path.parent, remake)
    return None


def _open(folder: Path, remake: str) -> LoadedData:
    manifest = read_manifest(folder / MANIFEST, _FORM)
    path, expected = folder / _ROWS, manifest["rows"]["sha256"]
    try:
        rows: NDArray[np.float32] = np.load(path, mmap_mode="c", allow_pickle=False)
        # Read, not hashed through the map: that would make every page this process's own.
        with path.open("rb", buffering=0) as file:
            file.seek(path.stat().st_size - rows.nbytes)
            found = hashlib.file_digest(file, "sha256").hexdigest()
        transitions = Transitions(rows, manifest["obs_dim"], manifest["action_dim"])
    except (OSError, ValueError, SyntaxError, TokenError) as error:  # the header is Python
        raise UserError(unreadable(path, error, remake)) from error
    if found != expected:
        raise UserError(mismatch(path, "rows", expected, found, remake))
    return LoadedData(transitions, manifest, found)


def build_rows(task: TaskSpec, progress: Progress) -> None:
    """Pack the task's dataset into rows unless that is done.

    Raises UserError if the dataset's bytes are not those of its manifest or the disk is full.
    """
    folder = cache_folder(task)
    with write_errors_explained(folder), lock(folder.name, rows_root()):
        if (folder / MANIFEST).exists():
            return
        transitions = pack_rows(task, progress)
        rows = transitions.rows
        manifest = {
            "task": task.id,
            "rewards": task.dataset.rewards,
            "obs_dim": transitions.obs_dim,
            "action_dim": transitions.action_dim,
            "rows": {
                "sha256": hashlib.sha256(rows.data).hexdigest(),
                "dtype": str(rows.dtype),
                "shape": list(rows.shape),
            },
            "dataset": DatasetFolder.of(task).manifest(),
        }
        with appearing(folder) as partial:
            with (partial / _ROWS).open("wb") as file:
                # Not np.save: its errors do not say that the disk is full.
                header = np.lib.format.header_data_from_array_1_0(rows)
                np.lib.format.write_array_header_1_0(file, header)
                file.write(rows.data)
            (partial / MANIFEST).write_text(json.dumps(manifest, indent=1))
        with suppress(OSError):  # the data may be another's
            write_json(_record(task), manifest)


def drop_rows(dataset_id: str) -> None:
    """Delete the rows of every task that learns from a dataset."""
    for path in (rows_root() / "cache").glob(f"*/{MANIFEST}"):
        if read_manifest(path, _FORM)["dataset"]["dataset"].get("id") == dataset_id:
            shutil.rmtree(path.parent)


def pack_rows(task: TaskSpec, progress: Progress) -> Transitions:
    """The rows of the task's dataset, in memory. Raises UserError as `build_rows` does."""
    path, manifest = DatasetFolder.of(task).data, DatasetFolder.of(task).manifest()
    digests = Digests()

    def read() -> Iterator[EpisodeArrays]:
        done, total = 0, manifest["steps"]
        for index, episode in enumerate(read_checked(task, recipe_of(task).inputs, digests)):
            done += len(episode["actions"])
            yield episode
            if index % 500 == 0 or done == total:
                progress(f"packing {task.id}", done, total)

    try:
        transitions = pack(task, read())
    except (OSError, KeyError) as error:
        raise UserError(unreadable(path, error, make_command(task, force=True))) from error
    if problems := check_arrays(task, manifest, digests):
        raise UserError(problems[0])
    return transitions


def pack(task: TaskSpec, episodes: Iterable[EpisodeArrays]) -> Transitions:
    """The rows of a task's episodes, as its recipe made them."""
    recipe = recipe_of(task)
    columns: dict[str, list[NDArray[Any]]] = {}
    for episode in episodes:
        for name, piece in recipe.columns(recipe.seen(task, episode)).items():
            columns.setdefault(name, []).append(piece)
    joined = {name: np.concatenate(pieces) for name, pieces in columns.items()}
    joined["rewards"] = recipe.rewards(task, joined)
    return Transitions.pack(**joined)


def made_in_memory(task: TaskSpec) -> Transitions:
    """The rows of a task whose data its recipe makes in seconds, leaving nothing on the disk."""
    return pack(task, recipe_of(task).episodes(task, 1, lambda _: None))
