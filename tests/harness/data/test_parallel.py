"""Work spread over processes."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator

import pytest

from harness.data.parallel import in_order


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_whatever_the_workers(workers: int) -> None:
    jobs = [(i, 2) for i in range(9)]
    assert list(in_order(operator.pow, jobs, workers)) == [i**2 for i in range(9)]


@pytest.mark.parametrize("workers", [1, 2])
def test_endless_work_is_done_only_a_little_ahead(workers: int) -> None:
    handed_out = 0

    def jobs() -> Iterator[tuple[int]]:
        nonlocal handed_out
        for i in itertools.count():
            handed_out += 1
            yield (-i,)

    results = in_order(operator.neg, jobs(), workers)
    assert list(itertools.islice(results, 5)) == [0, 1, 2, 3, 4]
    assert handed_out <= 5 + 2 * workers + 1
