"""How alike two rankings of the same methods are: Kendall's τ."""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from harness.statistics.intervals import CONFIDENCE, UNKNOWN, Interval, Scores

FEWEST_METHODS = 4  # below, all orders but a few agree by chance
_DRAWS = 40_000  # the ends are then within 0.01
_HALVINGS = 10  # of the range of τ, down to 0.002
_SEED = 0


def kendall_tau(x: Scores, y: Scores) -> float:
    """Kendall's (1945) τ-b of two scores of each method, both [methods]; NaN if one side is level.

    1 where both order the methods the same way, -1 where in opposite ways, 0 on average by chance.
    """
    a, b = _signs(np.asarray(x)), _signs(np.asarray(y))
    pairs = math.sqrt(np.count_nonzero(a) * np.count_nonzero(b))
    return float(a @ b) / pairs if pairs else math.nan


def tau_interval(tau: float, methods: int) -> Interval:
    """95% interval of the τ of a population of methods that these were drawn from.

    Every τ under which neither so high nor so low a sample τ is rarer than 2.5%, if a method's two
    scores are bivariate normal up to monotone transforms; by simulation, always the same. Fisher's
    z of τ, in its place, has no width at 1, which is common with few methods.
    """
    if math.isnan(tau) or methods < FEWEST_METHODS:
        return UNKNOWN
    return Interval(_lowest(tau, methods), -_lowest(-tau, methods))


def leave_one_out_tau(scores: NDArray[np.float64]) -> float:
    """Mean τ of the ranking on each task and that by the mean of the others; [methods, tasks].

    How well a benchmark's ranking foretells that on another task of its kind. NaN for one task.
    """
    tasks = scores.shape[1]
    if tasks < 2:
        return math.nan
    others = (scores.sum(1, keepdims=True) - scores) / (tasks - 1)
    return float(np.mean([kendall_tau(scores[:, i], others[:, i]) for i in range(tasks)]))


def _signs(values: Scores) -> Scores:
    """The order of every pair of methods, [..., methods] to [..., pairs]."""
    first, second = np.triu_indices(values.shape[-1], 1)
    return np.sign(values[..., first] - values[..., second])


@functools.lru_cache(maxsize=256)
def _lowest(tau: float, methods: int) -> float:
    """The lowest τ of a population in which samples of `tau` or more are not too rare."""
    rng = np.random.default_rng(_SEED)
    x, noise = rng.standard_normal((2, _DRAWS, methods))
    order = _signs(x)
    low, high = -1.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        correlation = math.sin(math.pi * middle / 2)  # of normal scores with this τ
        y = correlation * x + math.sqrt(1 - correlation**2) * noise
        samples = np.mean(order * _signs(y), axis=-1)
        rare = np.mean(samples >= tau - 1e-9) <= (1 - CONFIDENCE) / 2
        low, high = (middle, high) if rare else (low, middle)
    return low
