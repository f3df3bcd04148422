"""How far a policy's actions are from the behaviour's density, and what that could have bought."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from harness.tasks.multimodal_geometry import ActionModes

Floats = NDArray[np.float64]

NEIGHBOURS = 2  # more lower the variance, and bias what has several modes of few actions
_CHUNK = 256  # rows of the distance matrix at a time, to bound memory


def kl_from_behaviour(modes: ActionModes, canonical: Floats) -> float:
    """KL(policy || behaviour) in nats from a policy's canonical actions [N, d].

    The actions' entropy is estimated, the behaviour's density exact. Contexts are pooled, which
    can only lower it. Infinite where actions repeat; NaN for fewer than four actions.
    """
    return -entropy(canonical) - float(modes.log_density(canonical).mean())


def entropy(points: Floats) -> float:
    """Differential entropy in nats by nearest neighbours. [N, d].

    Kozachenko and Leonenko (1987), for the k-th neighbour as in Kraskov et al. (2004), eq. 20.
    Points far from round in many dimensions need many: 2000 of a Gaussian with deviations from 0.1
    to 2 in 8-D come out 1.1 nats too high.
    """
    count, dim = points.shape
    if count < NEIGHBOURS + 2:
        return math.nan
    distances = _neighbour_distances(points)
    if not distances.all():
        return -math.inf
    log_ball = dim / 2 * math.log(math.pi) - math.lgamma(dim / 2 + 1)
    harmonic = sum(1 / n for n in range(NEIGHBOURS, count))  # digamma(N) - digamma(k)
    return float(harmonic + log_ball + dim * np.log(distances).mean())


def _neighbour_distances(points: Floats) -> Floats:
    """From every point to its k-th nearest other one. [N, d] -> [N]."""
    found = []
    for start in range(0, len(points), _CHUNK):
        offsets = points[start : start + _CHUNK, None] - points
        squares = np.einsum("ijk,ijk->ij", offsets, offsets)
        found.append(np.partition(squares, NEIGHBOURS, axis=1)[:, NEIGHBOURS])
    distances: Floats = np.sqrt(np.concatenate(found))
    return distances


def frontier(modes: ActionModes, inverse_temperatures: Floats) -> tuple[Floats, Floats]:
    """KL from the behaviour (nats) and mean reward of the best policies there are, [n] each.

    No policy of that KL earns more than behaviour * exp(Q / temperature), normalised. Exact for
    modes without overlap: Q depends on the mode and on the distance s from its centre in sigmas,
    whose density is the chi distribution's.
    """
    s = (np.arange(8000) + 0.5) / 8000 * (math.sqrt(modes.dim) + 10)
    log_mass = (modes.dim - 1) * np.log(s) - s**2 / 2
    q = modes.rewards[:, None] * np.exp(-(s**2) / (2 * modes.dim))  # [K, distances]
    mass = np.exp(log_mass - log_mass.max())
    mass = mass / mass.sum() / modes.modes
    kl, reward = [], []
    for sharpness in inverse_temperatures:
        tilted = mass * np.exp(sharpness * (q - 1))
        total = tilted.sum()
        reward.append((tilted * q).sum() / total)
        kl.append(sharpness * (reward[-1] - 1) - math.log(total))
    return np.array(kl), np.array(reward)
