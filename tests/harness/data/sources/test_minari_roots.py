"""What is known of public Minari files on this machine, records of their download in hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.sources.minari_roots import PublicDataset


@pytest.fixture
def dataset(tmp_path: Path) -> PublicDataset:
    """Both files with a record each, as huggingface_hub leaves them."""
    found = PublicDataset(tmp_path, "D4RL/door/human-v2")
    for name in ("main_data.hdf5", "metadata.json"):
        record = found.records / "data" / f"{name}.metadata"
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(f"c0ffee\n{'ab' * 32}\n1700000000.0\n")
    return found


def test_a_record_names_the_commit(dataset: PublicDataset) -> None:
    assert dataset.is_recorded
    assert dataset.revision == "c0ffee"


@pytest.mark.parametrize("content", [b"", b"c0ffee\n", b"\xff\xfe"])
def test_a_damaged_record_is_none(dataset: PublicDataset, content: bytes) -> None:
    (dataset.records / "data" / "main_data.hdf5.metadata").write_bytes(content)
    assert not dataset.is_recorded
    assert dataset.revision.startswith("unknown")
