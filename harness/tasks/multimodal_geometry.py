"""Gaussian action modes around centres that turn with the context: density, Q and support.

Everything here is in *canonical* coordinates, actions turned back by the context's angle, in which
neither the behaviour nor the reward depends on the context. Shapes: `N` actions, `K` modes, `d`
action dimensions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.tasks.spec import TaskSpec

Floats = NDArray[np.float64]

SUPPORT_SHARE = 0.99  # of a mode's own mass that counts as its support
MARGIN = 4.0  # standard deviations between every centre and the limits of the actions
LARGEST_CODE = 16  # signs that are chosen; further dimensions repeat them


@dataclass(frozen=True)
class ActionModes:
    """The behaviour, an equal mixture of `K` isotropic Gaussians, and the reward it is judged by.

    Attributes:
        modes: K, at least 1 (and at most 2^d for d > 2).
        dim: d, at least 2.
        separation: distance of the nearest two centres in units of `spread`, so that modes are as
            distinct in many dimensions as in few. A single mode counts its mirror image.
        reward_gap: how much less than 1, the best mode's reward, the worst mode's is.
    """

    modes: int
    dim: int
    separation: float
    reward_gap: float

    @classmethod
    def of(cls, task: TaskSpec) -> ActionModes:
        """Those of a multimodal task."""
        return cls(**task.environment.kwargs)  # type: ignore[arg-type]

    @cached_property
    def centres(self) -> Floats:
        """Means of the modes [K, d]: on a circle for d = 2, else corners of a sign code."""
        return self._layout[0]

    @cached_property
    def sigma(self) -> float:
        """Standard deviation of a mode along every axis."""
        return self._layout[1]

    @cached_property
    def spread(self) -> float:
        """Root mean square distance of a mode's actions from its centre; the width of its Q."""
        return self.sigma * math.sqrt(self.dim)

    @cached_property
    def rewards(self) -> Floats:
        """Reward at each centre [K], from `1 - reward_gap` to 1."""
        return np.linspace(1.0 - self.reward_gap, 1.0, self.modes) if self.modes > 1 else np.ones(1)

    @property
    def turn(self) -> float:
        """Contexts are uniform on [0, turn] radians: a quarter of the angle between neighbours.

        Turned through the whole of it, eight modes on a circle are a ring to everyone who does not
        know the context to a few degrees, and flow matching learns the ring long before the modes.
        """
        return math.pi / (2 * self.modes)

    @cached_property
    def support_radius(self) -> float:
        """Radius around a centre, in sigmas, that holds 99% of its mode."""
        return math.sqrt(chi_square_quantile(SUPPORT_SHARE, self.dim))

    @cached_property
    def _layout(self) -> tuple[Floats, float]:
        corners = _corners(max(self.modes, 2), self.dim)
        nearest = min(
            float(np.linalg.norm(corners - corner, axis=1)[np.arange(len(corners)) != index].min())
            for index, corner in enumerate(corners)
        )
        # The first two coordinates turn, so that each of them reaches their common length.
        reach = max(np.hypot(*corners[:, :2].T).max(), np.abs(corners).max())
        sigma_of_scale = nearest / (self.separation * math.sqrt(self.dim))
        scale = 1.0 / (float(reach) + MARGIN * sigma_of_scale)
        return scale * corners[: self.modes], scale * sigma_of_scale

    def log_density(self, canonical: Floats) -> Floats:
        """Log density of the behaviour. [N, d] -> [N]."""
        exponents = -0.5 * self.squared_distances(canonical) / self.sigma**2  # [N, K]
        largest = exponents.max(1)
        mixed: Floats = largest + np.log(np.exp(exponents - largest[:, None]).mean(1))
        return mixed - self.dim * math.log(self.sigma * math.sqrt(2 * math.pi))

    def value(self, canonical: Floats) -> Floats:
        """Q, which is the reward: each mode's bump of width `spread`, the highest counts.

        A sum of bumps would be largest between the modes in many dimensions. [N, d] -> [N].
        """
        bumps = np.exp(-0.5 * self.squared_distances(canonical) / self.spread**2)
        highest: Floats = (self.rewards * bumps).max(1)
        return highest

    def nearest(self, canonical: Floats) -> tuple[NDArray[np.int64], Floats]:
        """Index of the nearest centre and the distance from it in sigmas. [N, d] -> [N], [N]."""
        squares = self.squared_distances(canonical)
        return squares.argmin(1), np.sqrt(squares.min(1)) / self.sigma

    def in_support(self, canonical: Floats) -> NDArray[np.bool_]:
        """Whether the nearest centre is within the support radius. [N, d] -> [N]."""
        return self.nearest(canonical)[1] <= self.support_radius

    def sample(self, count: int, rng: np.random.Generator) -> Floats:
        """Actions of the behaviour [count, d]."""
        modes = rng.integers(self.modes, size=count)
        return self.centres[modes] + self.sigma * rng.standard_normal((count, self.dim))

    def squared_distances(self, canonical: Floats) -> Floats:
        """From every centre. [N, d] -> [N, K]."""
        return np.stack([((canonical - centre) ** 2).sum(1) for centre in self.centres], 1)


def observations_of(angles: Floats) -> NDArray[np.float32]:
    """What the policy sees of contexts: cosine and sine of the angle. [N] -> [N, 2]."""
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def turned(observations: NDArray[np.float32], canonical: Floats) -> Floats:
    """The actions that canonical ones are under a context. [N, 2], [N, d] -> [N, d]."""
    return _turn(canonical, observations.astype(np.float64))


def turned_back(observations: NDArray[np.float32], actions: NDArray[np.float32]) -> Floats:
    """The canonical coordinates of actions under a context. [N, 2], [N, d] -> [N, d]."""
    return _turn(actions.astype(np.float64), observations.astype(np.float64) * (1.0, -1.0))


def _turn(points: Floats, cosine_sine: Floats) -> Floats:
    (cosine, sine), (x, y) = cosine_sine.T, points[:, :2].T
    plane = np.stack([cosine * x - sine * y, sine * x + cosine * y], 1)
    return np.concatenate([plane, points[:, 2:]], 1)


def _corners(count: int, dim: int) -> Floats:
    """Well separated points around the origin, before scaling [count, dim]."""
    if dim == 2:
        angles = 2 * math.pi * np.arange(count) / count
        return np.stack([np.cos(angles), np.sin(angles)], 1)
    words = _code(count, min(dim, LARGEST_CODE))
    bits = words[:, None] >> (np.arange(dim) % LARGEST_CODE) & 1
    signs = (2 * bits - 1).astype(np.float64)
    # A sign that all of them share would only push them aside.
    centred: Floats = signs - signs.mean(0)
    return centred


def _code(count: int, bits: int) -> NDArray[np.int64]:
    """`count` binary words that differ pairwise in as many bits as a greedy choice can have.

    The lexicode: the first words, in numerical order, that are far enough from those before.
    """
    for distance in range(bits, 0, -1):
        words: list[int] = []
        free = np.ones(2**bits, np.bool_)
        everything = np.arange(2**bits)
        while len(words) < count and free.any():
            words.append(int(free.argmax()))
            free &= np.bitwise_count(everything ^ words[-1]) >= distance
        if len(words) == count:
            return np.array(words)
    raise ValueError(f"there are no {count} different words of {bits} bits")


def chi_square_quantile(share: float, degrees: int) -> float:
    """The value below which `share` of a chi-square distribution lies (bisection)."""
    low, high = 0.0, degrees + 100.0 * math.sqrt(degrees)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _chi_square_share(middle, degrees) < share else (low, middle)
    return (low + high) / 2


def _chi_square_share(value: float, degrees: int) -> float:
    """The distribution function, by the series of the lower incomplete gamma function."""
    shape, x = degrees / 2, value / 2
    if x == 0:
        return 0.0
    term = math.exp(shape * math.log(x) - x - math.lgamma(shape + 1))
    total, index = 0.0, 0
    while term > 1e-17 * total:
        total += term
        index += 1
        term *= x / (shape + index)
    return total
