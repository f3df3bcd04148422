"""Keeps the temporary directory clean."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What gymnasium-robotics leaves in the temporary directory goes with the test's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
