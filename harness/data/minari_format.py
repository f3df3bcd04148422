"""Reading and writing Minari's HDF5 layout, with a sha256 of every array.

Written here rather than by Minari because its writer needs jax to fill buffers and chunks every
array of every episode; the bytes are the same for the same arrays (no timestamps).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from harness.data.hdf5 import member, opened, read_numbers

# One episode's arrays by their path in the file; observations have one row more than actions.
EpisodeArrays = dict[str, NDArray[Any]]

DATA_FILE = "main_data.hdf5"


class Digests:
    """sha256, dtype and shape of arrays that arrive in pieces, one piece an episode."""

    def __init__(self) -> None:
        self._hashes: dict[str, Any] = {}
        self._sums: dict[str, int] = {}
        self._shapes: dict[str, tuple[str, list[int]]] = {}

    def add(self, name: str, array: NDArray[Any]) -> None:
        content = np.ascontiguousarray(array).data
        self._hashes.setdefault(name, hashlib.sha256()).update(content)
        piece = int.from_bytes(hashlib.sha256(content).digest(), "big")
        self._sums[name] = (self._sums.get(name, 0) + piece) % 2**256
        _, (rows, *_) = self._shapes.get(name, ("", [0]))
        self._shapes[name] = (str(array.dtype), [rows + len(array), *array.shape[1:]])

    def summary(self) -> dict[str, dict[str, Any]]:
        """By array name: its sha256, dtype and shape over all episodes.

        `any_order` is the sum of the episodes' own sha256: the same for the same episodes in
        another order, so that exchanged episodes can be told from other damage.
        """
        return {
            name: {
                "sha256": digest.hexdigest(),
                "any_order": f"{self._sums[name]:064x}",
                "dtype": dtype,
                "shape": shape,
            }
            for name, digest in sorted(self._hashes.items())
            for dtype, shape in [self._shapes[name]]
        }


def write(folder: Path, episodes: Iterable[EpisodeArrays]) -> dict[str, Any]:
    """Write the data file of a new Minari data folder (its `metadata.json` is the caller's).

    Returns `episodes`, `steps`, `bytes` and `arrays` (the digests). An array that an episode holds
    under two names is stored once.
    """
    folder.mkdir(parents=True)
    path = folder / DATA_FILE
    digests = Digests()
    count = steps = 0
    # In memory first, because HDF5 does not survive a full disk: it keeps retrying, loudly, to the
    # end of the process. The newest layout keeps many small arrays compact.
    image = io.BytesIO()
    with h5py.File(image, "w", libver="latest") as file:
        for arrays in episodes:
            group = file.create_group(f"episode_{count}")
            group.attrs["id"] = count
            group.attrs["total_steps"] = len(arrays["actions"])
            stored: dict[int, Any] = {}
            for name, array in arrays.items():
                if id(array) in stored:
                    group[name] = stored[id(array)]
                else:
                    stored[id(array)] = group.create_dataset(name, data=array, track_times=False)
                digests.add(name, array)
            count += 1
            steps += len(arrays["actions"])
    path.write_bytes(image.getbuffer())
    return {
        "episodes": count,
        "steps": steps,
        "bytes": path.stat().st_size,
        "arrays": digests.summary(),
    }


def read(folder: Path, names: Iterable[str]) -> Iterator[EpisodeArrays]:
    """The named arrays of every episode in order.

    Raises OSError or KeyError on a damaged file, UserError for what is no array of numbers in it.
    """
    names = list(names)
    with opened(folder / DATA_FILE) as file:
        for index in range(len(file)):
            group, arrays = member(file, f"episode_{index}"), {}
            for name in names:
                try:
                    arrays[name] = read_numbers(group, name)
                except KeyError as error:
                    raise KeyError(f"episode {index} has no '{name}'") from error
            yield arrays


def labels(folder: Path) -> list[tuple[int, int]]:
    """What every episode says of itself, in order: its number and its steps.

    Raises OSError or KeyError on a damaged file.
    """
    with opened(folder / DATA_FILE) as file:
        attributes = [member(file, f"episode_{index}").attrs for index in range(len(file))]
        return [(int(each["id"]), int(each["total_steps"])) for each in attributes]
