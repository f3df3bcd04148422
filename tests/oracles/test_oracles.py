"""Losses, gradients and weights equal those that other people's code was recorded with."""

from __future__ import annotations

import pytest

from algorithms.transitions import Transitions
from tests.algorithms.conftest import transitions
from tests.oracles.replay import RECORDS, differences, load

__all__ = ["transitions"]


@pytest.mark.parametrize("name", RECORDS)
def test_updates_equal_the_recorded_ones(name: str, transitions: Transitions) -> None:
    found = differences(load(name), transitions)
    assert found.keys() == {"losses", "gradients", "weights"}
    assert max(found.values()) < 2e-6, found
