"""Bandits: episodes of one step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from algorithms.engine.engine import Engine
from algorithms.transitions import Transitions

BEST = np.array([0.5, -0.5])  # of the hill
POOR, GOOD = np.array([[-0.7, 0.7], [0.7, -0.7]])  # they pay 0 and 1
STD = 0.1


def two_modes(n: int = 1024) -> Transitions:
    """Episodes of one step without an observation, as often in one mode as in the other."""
    rng = np.random.default_rng(0)
    good = rng.integers(2, size=n)
    observations = np.zeros((n, 1))
    return Transitions.pack(
        observations=observations,
        actions=np.where(good[:, None], GOOD, POOR) + STD * rng.standard_normal((n, 2)),
        rewards=good.astype(float),
        next_observations=observations,
        terminals=np.ones(n, bool),
        timeouts=np.zeros(n, bool),
    )


def rising(n: int = 1024) -> Transitions:
    """Episodes of one step that pay four times the action's sum; no action is beyond ±0.5."""
    rng = np.random.default_rng(0)
    actions, nothing = rng.uniform(-0.5, 0.5, (n, 2)), np.zeros((n, 1))
    return Transitions.pack(
        observations=nothing,
        actions=actions,
        rewards=4 * actions.sum(1),
        next_observations=nothing,
        terminals=np.ones(n, bool),
        timeouts=np.zeros(n, bool),
    )


def dome(n: int = 1024) -> Transitions:
    """Episodes of one step that pay 1 − |a|²; no action is beyond ±0.5."""
    rng = np.random.default_rng(0)
    actions, nothing = rng.uniform(-0.5, 0.5, (n, 2)), np.zeros((n, 1))
    return Transitions.pack(
        observations=nothing,
        actions=actions,
        rewards=1 - np.square(actions).sum(1),
        next_observations=nothing,
        terminals=np.ones(n, bool),
        timeouts=np.zeros(n, bool),
    )


def hill(n: int = 1024) -> Transitions:
    """Episodes of one step: uniform actions that pay 1 − |a − BEST|²."""
    rng = np.random.default_rng(0)
    actions, nothing = rng.uniform(-1, 1, (n, 2)), np.zeros((n, 1))
    return Transitions.pack(
        observations=nothing,
        actions=actions,
        rewards=1 - np.square(actions - BEST).sum(1),
        next_observations=nothing,
        terminals=np.ones(n, bool),
        timeouts=np.zeros(n, bool),
    )


def share_near(
    mode: NDArray[np.float64], engine: Engine, radius: float, selection: str | None = None
) -> NDArray[np.float64]:
    """How many of a policy's actions lie that near to a mode. -> [S], of 1."""
    actions = engine.policy("test", selection)(np.zeros((len(engine.seeds), 500, 1), np.float32))
    return np.asarray((np.linalg.norm(actions - mode, axis=-1) < radius).mean(1))
