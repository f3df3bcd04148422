"""Protocols: which of a run's evaluations make its score, and how many episodes' noise it holds.

A protocol gives each of a run's evaluations a weight. All scores of a table are of one protocol.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]
KNOWN = ("last", "mean-of-last-K", "best", "expected-best-of-N")


@dataclass(frozen=True)
class Protocol:
    """Turns a run's evaluations into its score.

    Attributes:
        name: as a suite or the command line says it.
        meaning: of a run's score, in words.
        evaluations: how many a run must have.
        selects_online: whether it picks evaluations by their returns, which deployment cannot do.
        weights: of the evaluations, given the mean score of each [N], in the order of their steps.
    """

    name: str
    meaning: str
    evaluations: int
    selects_online: bool
    weights: Callable[[Scores], Scores]

    def score(self, means: Scores, variances: Scores) -> tuple[float, float]:
        """A run's score and the standard error that the noise of its episodes gives it, in points.

        Args:
            means: mean score over the episodes of each evaluation, [N].
            variances: of those means, NaN for one episode, [N].
        """
        weights = self.weights(means)
        used = weights > 0
        return float(weights @ means), math.sqrt(weights[used] ** 2 @ variances[used])


def parse_protocol(name: str) -> Protocol:
    """The protocol of that name. Raises ValueError that says which there are."""
    if name == "last":
        meaning = (
            "the mean over the episodes of a run's last evaluation, with no choice of checkpoint"
        )
        return Protocol(name, meaning, 1, False, lambda means: _last(means, 1))
    if name == "best":
        meaning = (
            "its highest evaluation. The returns of online evaluations chose it, which nobody "
            "who has only the data can do, and the luck of its episodes counts for it"
        )
        return Protocol(name, meaning, 1, True, lambda means: _expected_best(means, len(means)))
    found = re.fullmatch(r"(mean-of-last|expected-best-of)-([1-9]\d{0,4})", name)
    if found is None:
        raise ValueError(f"'{name}' is no protocol; there are {', '.join(KNOWN)}")
    count = int(found[2])
    if found[1] == "mean-of-last":
        last = f"the mean of its last {count} evaluations" if count > 1 else "its last evaluation"
        meaning = f"{last}, with no choice of checkpoint"
        return Protocol(name, meaning, count, False, lambda means: _last(means, count))
    meaning = (
        f"the highest of {count} of its evaluations on average over all ways to pick {count} "
        "of them: what trying that many checkpoints online would give. Their returns choose, "
        "which nobody who has only the data can do"
    )
    return Protocol(name, meaning, count, True, lambda means: _expected_best(means, count))


def _last(means: Scores, count: int) -> Scores:
    weights = np.zeros(len(means))
    weights[-count:] = 1 / count
    return weights


def _expected_best(means: Scores, count: int) -> Scores:
    """Of N values, the one with `below` under it is the highest of comb(below, count - 1) picks."""
    weights = np.empty(len(means))
    ways = math.comb(len(means), count)
    for below, place in enumerate(np.argsort(means, kind="stable")):
        weights[place] = math.comb(below, count - 1) / ways
    return weights
