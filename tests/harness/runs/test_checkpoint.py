"""A checkpoint is the whole state, and not trusted blindly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.runs.checkpoint import Checkpoint, DamagedError
from harness.runs.folder import RunFolder


def checkpoint(step: int) -> Checkpoint:
    state = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(7, np.int64)}
    return Checkpoint("owner", step, state, {"evaluations": b"step,return\n1,2.5\n"})


def test_it_returns_what_was_saved(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.read_checkpoint("owner") == (None, [])
    folder.write_checkpoint(checkpoint(123), {"train_seconds": 1.5})
    found, wrong = folder.read_checkpoint("owner")
    assert wrong == []
    assert found is not None
    assert (found.step, dict(found.tables)) == (123, checkpoint(123).tables)
    assert found.state.keys() == checkpoint(123).state.keys()
    for name, values in checkpoint(123).state.items():
        np.testing.assert_array_equal(found.state[name], values)
        assert found.state[name].dtype == values.dtype
    assert folder.read_seconds() == {"train_seconds": 1.5}


def test_equal_checkpoints_are_equal_bytes(tmp_path: Path) -> None:
    checkpoint(1).write(tmp_path / "a")
    checkpoint(1).write(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_no_flipped_bit_goes_unnoticed(tmp_path: Path) -> None:
    """Every byte of the file in turn has one of its bits flipped."""
    path = tmp_path / "checkpoint.safetensors"
    checkpoint(40).write(path)
    content = path.read_bytes()
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        with pytest.raises(DamagedError):
            Checkpoint.read(path, "owner")


@pytest.mark.parametrize("length", [0, 3, 100, -1])
def test_a_cut_file_is_damage(tmp_path: Path, length: int) -> None:
    path = tmp_path / "checkpoint.safetensors"
    checkpoint(40).write(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DamagedError):
        Checkpoint.read(path, "owner")


def test_that_of_another_run_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    checkpoint(40).write(path)
    with pytest.raises(DamagedError, match="belongs to another run"):
        Checkpoint.read(path, "somebody else")


def test_a_damaged_one_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for step in (20, 40, 60):
        folder.write_checkpoint(checkpoint(step), {})
    latest = tmp_path / "checkpoint.safetensors"
    latest.write_bytes(latest.read_bytes()[:-1])
    found, wrong = folder.read_checkpoint("owner")
    assert found is not None
    assert found.step == 40
    assert len(wrong) == 1
    assert str(latest) in wrong[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint.json",
        "checkpoint.previous.safetensors",
        "checkpoint.safetensors",
    ]


def test_a_damaged_one_never_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    """Killed while it saves again, a run still has the one that it went on from; two are kept."""
    folder = RunFolder(tmp_path)
    for step in (1, 2, 3):
        folder.write_checkpoint(checkpoint(step), {})
    newest = tmp_path / "checkpoint.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    folder.write_checkpoint(checkpoint(4), {})
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    newest.unlink()
    found, wrong = folder.read_checkpoint("owner")
    assert found is not None
    assert (found.step, wrong) == (2, [])
