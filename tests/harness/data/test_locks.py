"""Manifests and lock files that are damaged: a sentence with the file and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.data import dataset_lock
from harness.data.sources import download_lock
from harness.data.store import DatasetFolder, data_root
from harness.errors import UserError

DAMAGED = ["", "{", "[]", "1", "null", "[" * 100_000, "\x00", '{"a": 1}', '{"a": {"b": 1}}']
READERS: dict[str, tuple[Callable[[], object], str]] = {
    "datasets.lock.json": (lambda: dataset_lock.admit("a", {}), "Restore it from a backup"),
    "files.lock.json": (lambda: download_lock.expected("a", None), "restore it, or delete it"),
    "minari/a/manifest.json": (
        lambda: DatasetFolder(data_root() / "minari" / "a").manifest(),
        "Delete the folder",
    ),
}


@pytest.mark.parametrize("text", DAMAGED, ids=lambda text: text[:20])
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_named_with_a_remedy(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    read, remedy = READERS[name]
    with pytest.raises(UserError) as error:
        read()
    assert str(error.value).startswith(f"{path} cannot be read (")
    assert remedy in str(error.value)
    assert "\n" not in str(error.value)
    assert path.read_text() == text


def test_entries_of_the_right_form_are_read(root: Path) -> None:
    root.mkdir()
    (root / "datasets.lock.json").write_text(json.dumps({"b": {"actions": "0" * 64}}))
    dataset_lock.admit("a", {"actions": {"sha256": "1" * 64}})
    assert {*json.loads((root / "datasets.lock.json").read_text())} == {"a", "b"}
