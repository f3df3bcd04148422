"""No byte of another file comes in with a dataset."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from harness.data import minari_format
from harness.data.hdf5 import read_numbers
from harness.errors import UserError


def external_link(file: h5py.File, other: Path) -> None:
    file["rewards"] = h5py.ExternalLink(str(other), "/secret")


def external_group(file: h5py.File, other: Path) -> None:
    file["observations"] = h5py.ExternalLink(str(other), "/")


def raw_storage(file: h5py.File, other: Path) -> None:
    file.create_dataset("rewards", (4,), np.uint8, external=[(str(other), 0, 4)])


def virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((4,), np.float64)
    layout[:] = h5py.VirtualSource(str(other), "secret", (4,))
    file.create_virtual_dataset("rewards", layout)


@pytest.mark.parametrize(
    ("plant", "name", "problem"),
    [
        (external_link, "rewards", "is a link to another file"),
        (external_group, "observations/secret", "is a link to another file"),
        (raw_storage, "rewards", "is kept in other files"),
        (virtual, "rewards", "is kept in other files"),
    ],
)
def test_what_is_kept_elsewhere_is_refused(
    tmp_path: Path, plant: Callable[[h5py.File, Path], None], name: str, problem: str
) -> None:
    other = tmp_path / "other.hdf5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.arange(4.0)
    with h5py.File(tmp_path / "data.hdf5", "w") as file:
        plant(file, other)
    with h5py.File(tmp_path / "data.hdf5") as file, pytest.raises(UserError, match=problem):
        read_numbers(file, name)


def test_links_within_the_file_are_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "data.hdf5", "w") as file:
        file["group/rewards"] = np.arange(4.0)
        file["again"] = h5py.SoftLink("/group/rewards")
        assert read_numbers(file, "again").tolist() == read_numbers(file, "group/rewards").tolist()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (1.5, "is no array"),
        (h5py.Empty("f4"), "is no array"),
        (np.array([b"a"]), "holds |S1 and not numbers"),
        (np.array([1j], np.complex64), "holds complex64 and not numbers"),
        (np.array([b"a"], object), "holds Python objects and not numbers"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(
    tmp_path: Path, value: object, problem: str
) -> None:
    with h5py.File(tmp_path / "data.hdf5", "w") as file:
        file["rewards"] = value
        with pytest.raises(UserError, match=re.escape(problem)):
            read_numbers(file, "rewards")


def test_damage_anywhere_is_an_error_of_the_file_or_leaves_its_numbers(tmp_path: Path) -> None:
    episode = {name: np.arange(4.0) for name in ("actions", "rewards")}
    minari_format.write(tmp_path / "data", [episode] * 9)
    path = tmp_path / "data" / minari_format.DATA_FILE
    content, refused = path.read_bytes(), 0
    for start in range(0, len(content), 19):
        path.write_bytes(content[:start] + bytes(5) + content[start + 5 :])
        try:
            for _ in minari_format.read(path.parent, ["rewards"]):
                pass
            minari_format.labels(path.parent)
        except (OSError, KeyError, UserError):
            refused += 1
    assert refused > 30


def test_a_group_is_no_array(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "data.hdf5", "w") as file:
        file.create_group("rewards")
        with pytest.raises(UserError, match="is not one array of numbers but a group"):
            read_numbers(file, "rewards")
