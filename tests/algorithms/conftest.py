from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from algorithms.contract.subject import made_up_transitions
from algorithms.transitions import Transitions
from tests.algorithms.planted import Package, installed


@pytest.fixture(scope="session")
def transitions() -> Transitions:
    """Eight episodes of 32 steps; the best action is a linear function of the observation."""
    return made_up_transitions()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """A third party's method, for tests to plant mistakes in."""
    yield from installed(tmp_path, monkeypatch)
