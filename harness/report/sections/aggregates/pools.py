"""Which runs can be pooled: methods with ten seeds on all tasks of a family, on shared seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from harness.report.comparison import Comparison, Group
from harness.statistics.aggregates import FEWEST_SEEDS
from harness.statistics.intervals import Scores


@dataclass(frozen=True)
class Pool:
    """Runs of a family of tasks.

    Attributes:
        seeds: by task, those that all methods have.
        strata: by label, best average first, the scores of these seeds by task.
    """

    family: Group
    seeds: tuple[NDArray[np.int64], ...]
    strata: Mapping[str, list[Scores]]

    @property
    def seed_counts(self) -> tuple[int, ...]:
        return tuple(map(len, self.seeds))


def pools(comparison: Comparison) -> list[Pool]:
    """The pools of all families that have one."""
    found = [_pool(comparison, family) for family in comparison.ranking]
    return [pool for pool in found if pool is not None]


def _pool(comparison: Comparison, family: Group) -> Pool | None:
    def seeds(label: str, task: str) -> NDArray[np.int64]:
        return comparison.cells[task, label].seeds

    labels = [
        label
        for label in comparison.ranked(family.tasks)
        if all(len(seeds(label, task)) >= FEWEST_SEEDS for task in family.tasks)
    ]
    if not labels:
        return None
    shared = tuple(
        reduce(np.intersect1d, (seeds(label, task) for label in labels)) for task in family.tasks
    )
    if min(map(len, shared)) < FEWEST_SEEDS:
        return None
    strata = {
        label: [
            comparison.cells[task, label].scores[np.isin(seeds(label, task), common)]
            for task, common in zip(family.tasks, shared, strict=True)
        ]
        for label in labels
    }
    return Pool(family, shared, strata)
