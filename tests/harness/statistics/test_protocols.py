from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from harness.statistics.protocols import parse_protocol

MEANS = np.array([10.0, 40.0, 20.0, 30.0])
VARIANCES = np.array([1.0, 4.0, 9.0, 16.0])


@pytest.mark.parametrize(
    ("name", "score", "variance"),
    [
        ("last", 30.0, 16.0),
        ("mean-of-last-1", 30.0, 16.0),
        ("mean-of-last-3", 30.0, (4 + 9 + 16) / 9),
        ("best", 40.0, 4.0),
        ("expected-best-of-1", 25.0, (1 + 4 + 9 + 16) / 16),
        ("expected-best-of-4", 40.0, 4.0),
    ],
)
def test_scores_and_their_errors_by_hand(name: str, score: float, variance: float) -> None:
    found = parse_protocol(name).score(MEANS, VARIANCES)
    assert found == pytest.approx((score, math.sqrt(variance)))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_expected_best_is_the_mean_over_all_ways_to_pick(count: int) -> None:
    picks = [max(pick) for pick in combinations([10.0, 40.0, 20.0, 20.0], count)]
    tied = np.array([10.0, 40.0, 20.0, 20.0])
    score, _ = parse_protocol(f"expected-best-of-{count}").score(tied, VARIANCES)
    assert score == pytest.approx(np.mean(picks))


def test_only_protocols_that_look_at_returns_are_online_selection() -> None:
    online = {
        name: parse_protocol(name).selects_online
        for name in ("last", "mean-of-last-5", "best", "expected-best-of-3")
    }
    assert [name for name, selects in online.items() if selects] == ["best", "expected-best-of-3"]


@pytest.mark.parametrize("name", ["lats", "mean-of-last-0", "mean-of-last-", "best-of-3", ""])
def test_unknown_protocols_are_told_which_there_are(name: str) -> None:
    with pytest.raises(ValueError, match="last, mean-of-last-K, best, expected-best-of-N"):
        parse_protocol(name)


def test_evaluations_that_do_not_count_may_have_a_single_episode() -> None:
    """Which has no variance; one that counts has an unknown error."""
    protocol = parse_protocol("mean-of-last-2")
    early, late = np.array([math.nan, 4.0, 9.0, 16.0]), np.array([1.0, 4.0, 9.0, math.nan])
    assert protocol.score(MEANS, early) == pytest.approx((25.0, math.sqrt(25 / 4)))
    assert math.isnan(protocol.score(MEANS, late)[1])
