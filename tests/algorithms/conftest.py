from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from algorithms.transitions import Transitions
from tests.algorithms.planted import Package, installed
from tests.algorithms.small import ACTION_DIM, OBS_DIM


@pytest.fixture(scope="session")
def transitions() -> Transitions:
    """Eight episodes of 32 steps; the best action is a linear function of the observation."""
    rng = np.random.default_rng(0)
    n = 256
    observations = rng.standard_normal((n, OBS_DIM))
    best = 0.5 * observations[:, :ACTION_DIM]
    actions = np.clip(best + 0.1 * rng.standard_normal((n, ACTION_DIM)), -1, 1)
    ends = (np.arange(n) % 32) == 31
    return Transitions.pack(
        observations=observations,
        actions=actions,
        rewards=-np.abs(actions - best).sum(1),
        next_observations=np.roll(observations, -1, axis=0),
        terminals=ends & (np.arange(n) % 64 == 31),
        timeouts=ends & (np.arange(n) % 64 == 63),
    )


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """A third party's method, for tests to plant mistakes in."""
    yield from installed(tmp_path, monkeypatch)
