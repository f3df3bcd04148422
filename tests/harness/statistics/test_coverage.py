from __future__ import annotations

import numpy as np
import pytest

from harness.statistics.coverage import simulate, two_valued, with_failures


def test_coverage_is_what_theory_says_where_it_says_something() -> None:
    simulations = 400
    found = {(c.statistic, c.population, c.seeds): c.share for c in simulate(simulations)}
    # Student's t of normal scores is exact.
    assert found["t interval of a cell", "normal", 3] == pytest.approx(0.95, abs=0.035)
    # Of three runs of 0 or 100 all are the same with probability 1/4, and only then it misses.
    assert found["t interval of a cell", "two-valued", 3] == pytest.approx(0.75, abs=0.07)
    # Of five, with probability 1/16.
    assert found["t interval of a cell", "two-valued", 5] == pytest.approx(15 / 16, abs=0.04)
    assert found["IQM of four tasks, bootstrap", "normal", 3] < 0.92


def test_populations_are_what_their_names_say() -> None:
    z = np.random.default_rng(0).standard_normal(100_000)
    assert two_valued(z).mean() == pytest.approx(50, abs=1)
    assert (with_failures(z) < 30).mean() == pytest.approx(0.2, abs=0.01)
