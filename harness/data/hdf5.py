"""Reads numbers from HDF5 files that others made: only what is stored in the file itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
from numpy.typing import NDArray

from harness.errors import UserError

_REPAIR = "Repair the data where they are from."


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file, to be read. Raises OSError, also later on, if it is damaged."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (RuntimeError, TypeError, ValueError) as error:  # as h5py has them for some damage
        raise OSError(str(error)) from error


def read_numbers(group: Any, name: str) -> NDArray[Any]:
    """The array called `name` in a group, such as `rewards` or `observations/observation`.

    Raises KeyError if there is none, and UserError for a group or a single value, if it is kept in
    another file, which could be any file of this machine, if it holds anything but numbers, or if
    it does not fit into memory.
    """
    stored = member(group, name)
    where = f"{group.file.filename}: '{name}' of {group.name[1:] or 'the file'}"
    if isinstance(stored, h5py.Group):
        names = ", ".join(f"'{each}'" for each in stored) or "nothing"
        raise UserError(f"{where} is not one array of numbers but a group, of {names}. {_REPAIR}")
    if not isinstance(stored, h5py.Dataset) or not stored.shape:
        raise UserError(f"{where} is no array. {_REPAIR}")
    if stored.external or stored.is_virtual:
        raise UserError(f"{where} is kept in other files, which are not read for a dataset.")
    if stored.dtype.hasobject or stored.dtype.kind not in "biuf":
        found = "Python objects" if stored.dtype.hasobject else str(stored.dtype)
        raise UserError(
            f"{where} holds {found} and not numbers, and texts and objects are never loaded from a "
            "dataset. Take it from a source that stores numbers."
        )
    try:
        array: NDArray[Any] = stored[()]
    except MemoryError as error:
        raise UserError(
            f"{where} says that it has the shape {list(stored.shape)}, for which there is not "
            f"enough memory. {_REPAIR}"
        ) from error
    return array


def member(group: Any, name: str) -> Any:
    """A member of a group, or of groups in it. Raises KeyError, or UserError for one elsewhere."""
    for part in name.split("/"):
        if isinstance(group.get(part, getlink=True), h5py.ExternalLink):
            raise UserError(
                f"{group.file.filename}: '{part}' of {group.name} is a link to another file, and "
                "links are not followed for a dataset."
            )
        group = group[part]
    return group
