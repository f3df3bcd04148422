"""Against rliable's numbers, as tests/oracles/record_rliable.py took them down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.statistics import aggregates
from harness.statistics.bootstrap import resamples
from harness.statistics.intervals import Scores

FILE = Path(__file__).parents[2] / "oracles" / "rliable.json"


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return found


def by_task(scores: list[list[float]]) -> list[Scores]:
    """From rliable's runs in rows and tasks in columns."""
    return list(np.array(scores).T)


def test_aggregates_are_rliables(theirs: dict[str, Any]) -> None:
    x, y = by_task(theirs["x"]), by_task(theirs["y"])
    assert aggregates.interquartile_mean(x) == pytest.approx(theirs["interquartile_mean"])
    assert aggregates.optimality_gap(x)[0] == pytest.approx(theirs["optimality_gap"])
    share, _ = aggregates.probability_of_improvement(x, y)
    assert share == pytest.approx(theirs["probability_of_improvement"])
    shares, _ = aggregates.performance_profile(x, np.array(theirs["levels"]))
    assert shares == pytest.approx(theirs["profile"])


def test_the_bootstrapped_interval_is_rliables_but_for_chance(theirs: dict[str, Any]) -> None:
    strata = by_task(theirs["x"])
    drawn = resamples(tuple(map(len, strata)))
    # Its standard deviation is 3.9; bounds from 50,000 resamples vary by 0.05.
    low, high = drawn.interval(drawn.interquartile_means(strata))
    assert [low, high] == pytest.approx(theirs["interquartile_mean_interval"], abs=0.25)
