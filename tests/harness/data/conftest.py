"""A data folder of the module's own with one small dataset in it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import data
from harness.tasks import TaskSpec, get_task

STEPS = 1500


@pytest.fixture(autouse=True)
def _no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What gymnasium-robotics leaves in the temporary directory goes with the test's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder."""
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def task() -> TaskSpec:
    return get_task("pointmaze/umaze", {"transitions": STEPS})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder that holds the `task`'s dataset; for tests that only read it."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_DATA", str(folder))
        data.ensure(get_task("pointmaze/umaze", {"transitions": STEPS}))
        yield folder
