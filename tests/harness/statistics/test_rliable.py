"""Against rliable 1.2.0 (`pip install --no-deps rliable==1.2.0`); skipped where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from harness.statistics import aggregates

metrics = pytest.importorskip("rliable.metrics")


def test_point_estimates_are_rliables() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(80, 30, (12, 5)), rng.normal(70, 30, (10, 5)).round(-1)
    ours, theirs = list(x.T), list(y.T)
    assert aggregates.interquartile_mean(ours) == pytest.approx(metrics.aggregate_iqm(x))
    gap, _ = aggregates.optimality_gap(ours)
    assert gap == pytest.approx(metrics.aggregate_optimality_gap(x, 100.0))
    share, _ = aggregates.probability_of_improvement(ours, theirs)
    assert share == pytest.approx(metrics.probability_of_improvement(x, y))
