"""Bringing public Minari datasets here, through Minari's own client of its Hugging Face remote."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any

from harness.data.datasets import Progress
from harness.data.sources.minari_roots import (
    PublicDataset,
    check_version,
    download_root,
    find,
    user_root,
)
from harness.data.store import lock
from harness.errors import UserError

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)  # s, after failures in a row that brought nothing
CHUNK = 1 << 16  # bytes; a dropped connection loses what has arrived of one
_POLL = 0.5  # s
_PASSING = {408, 416, 429}  # statuses that may not come again; so may all from 500
_NO_SUCH_RANGE = 416


def fetch(command: str, dataset_id: str, progress: Progress) -> list[str]:
    """Download a dataset unless it is here; goes on with what is here of it.

    Args:
        command: what was typed, for messages.
        dataset_id: such as `D4RL/door/human-v2`.
        progress: hears of bytes.

    Returns:
        What went wrong on the way, a sentence each.

    Raises:
        UserError: the remote cannot be reached, has no such dataset or one that the installed
            Minari does not read, or what arrived is not what the remote has.
    """
    with lock(f"download {dataset_id}"):
        if find(dataset_id) is not None:
            return []
        dataset = PublicDataset(download_root(), dataset_id)
        notes = _download(command, dataset, progress)
        if damage := dataset.damage():
            shutil.rmtree(dataset.folder)
            shutil.rmtree(dataset.records)
            raise UserError(
                f"{dataset_id} arrived damaged: {damage}. It was deleted and nothing was "
                f"imported. Fetch it again with: {command}"
            )
        return notes


def _download(command: str, dataset: PublicDataset, progress: Progress) -> list[str]:
    _prepare_client()
    notes: list[str] = []
    remote, failures, most = _remote(), 0, _arrived(dataset)
    while True:
        try:
            _attempt(remote, dataset, progress, len(notes) + 1)
            return notes
        except Exception as error:
            if not _may_pass(error):
                raise
            arrived = _arrived(dataset)
            failures, most = 1 if arrived > most else failures + 1, max(most, arrived)
            if failures > len(WAITS) or not _worth_waiting(error):
                raise _stopped(command, dataset, remote, error) from error
            if _status(error) == _NO_SUCH_RANGE:
                shutil.rmtree(dataset.records)  # more had arrived than there is
            notes.append(f"{dataset.id}: {_first_line(error)}; tried again.")
            time.sleep(WAITS[failures - 1])


def _prepare_client() -> None:
    # Read when huggingface_hub is imported. Its Xet transfer begins interrupted files anew; plain
    # HTTP goes on where it stopped (up to version 1.17).
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import disable_progress_bars

    constants.DOWNLOAD_CHUNK_SIZE = CHUNK  # 10 MB as shipped, which a bad line may never bring
    disable_progress_bars()


def _attempt(remote: str, dataset: PublicDataset, progress: Progress, count: int) -> None:
    from minari.storage.remotes import get_cloud_storage

    again = f" (try {count})" if count > 1 else ""
    asking = f"asking {remote} for {dataset.id}{again}"
    progress(asking, 0, 1)
    size = _on_remote(remote, dataset.id).get("dataset_size") or 0.0  # MB
    progress(asking, 1, 1)
    what = f"downloading {dataset.id}, bytes{again}"
    with _watched(what, dataset, int(float(size) * 1e6), progress):
        get_cloud_storage().download_dataset(dataset.id, dataset.root)
    # huggingface_hub takes what is there for good when the remote falls silent half-way.
    if not (dataset.is_here and dataset.is_recorded):
        raise ConnectionError(f"{remote} stopped answering")


def _on_remote(remote: str, dataset_id: str) -> dict[str, Any]:
    """The remote's metadata of a dataset. Raises UserError if it is not one to be had."""
    import minari

    name = re.sub(r"-v\d+$", "", dataset_id)
    listed = minari.list_remote_datasets(prefix=name)
    versions = sorted(other for other in listed if re.fullmatch(rf"{re.escape(name)}-v\d+", other))
    if dataset_id not in versions:
        others = f"it has {' and '.join(versions)}" if versions else "nor any other version of it"
        raise UserError(
            f"There is no {dataset_id} on {remote}: {others}. A task's spec names the version it "
            "learns from; another one is other data, and is not taken instead."
        )
    metadata: dict[str, Any] = listed[dataset_id]
    check_version(dataset_id, metadata.get("dataset_id"), metadata.get("minari_version"))
    return metadata


def _remote() -> str:
    from minari.storage.remotes import DEFAULT_REMOTE

    remote = os.environ.get("MINARI_REMOTE") or DEFAULT_REMOTE
    if not remote.startswith("hf://"):
        raise UserError(
            f"The environment variable MINARI_REMOTE is '{remote}', but only Hugging Face remotes "
            f"are fetched from. Unset it, or set it to one such as {DEFAULT_REMOTE}."
        )
    return remote


@contextlib.contextmanager
def _watched(what: str, dataset: PublicDataset, total: int, progress: Progress) -> Iterator[None]:
    """Tells how many bytes have arrived, until the context ends."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_POLL):
            arrived = _arrived(dataset)
            progress(what, arrived, max(total, arrived + 1))

    progress(what, 0, max(total, 1))
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    arrived = _arrived(dataset)
    progress(what, arrived, arrived)


def _arrived(dataset: PublicDataset) -> int:
    """Bytes of the dataset that are here, in whole files and in parts of files."""
    arrived = 0
    for path in (*dataset.folder.rglob("*"), *dataset.records.rglob("*.incomplete")):
        with contextlib.suppress(FileNotFoundError):  # renamed when it is whole
            arrived += path.stat().st_size if path.is_file() else 0
    return arrived


def _may_pass(error: Exception) -> bool:
    """Whether an error is of the network or the disk, and not of the program."""
    from httpx import HTTPError

    return isinstance(error, (HTTPError, OSError))


def _worth_waiting(error: Exception) -> bool:
    from huggingface_hub.errors import OfflineModeIsEnabled

    status = _status(error)
    if status is not None:
        return status in _PASSING or status >= 500
    of_the_disk = isinstance(error, OSError) and error.errno is not None
    return not (of_the_disk or isinstance(error, OfflineModeIsEnabled))


def _status(error: Exception) -> int | None:
    from huggingface_hub.errors import HfHubHTTPError

    return error.response.status_code if isinstance(error, HfHubHTTPError) else None


def _stopped(command: str, dataset: PublicDataset, remote: str, error: Exception) -> UserError:
    return UserError(
        f"`{command}` stopped: {dataset.id} could not be downloaded from {remote} "
        f"({_first_line(error)}). Nothing is lost: what has arrived is kept in {dataset.root}, and "
        "no dataset was changed. Type the same command again when that is put right, and it goes "
        f"on; or copy the dataset into {user_root()} from a machine that has it, and type it then."
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
