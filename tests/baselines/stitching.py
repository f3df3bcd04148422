"""A task of two halves, of whose data no episode is good in both."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from algorithms.engine.engine import Engine
from algorithms.transitions import Transitions
from tests.baselines.bandit import GOOD, POOR, STD


def half_good(second: int = 1, n: int = 512) -> Transitions:
    """Episodes of a step at 0 and then `second` at 1, 2, …; either the first or those are good.

    A step pays 1 in the good mode and 0 in the other, so that 1 + `second` can be had.
    """
    rng, steps = np.random.default_rng(0), 1 + second
    first = rng.integers(2, size=(n, 1))
    good = np.hstack([first, np.repeat(1 - first, second, 1)]).reshape(-1)
    at = np.tile(np.arange(steps), n).astype(float)[:, None]
    return Transitions.pack(
        observations=at,
        actions=np.where(good[:, None], GOOD, POOR) + STD * rng.standard_normal((n * steps, 2)),
        rewards=good.astype(float),
        next_observations=at + 1,
        terminals=at[:, 0] == second,
        timeouts=np.zeros(n * steps, bool),
    )


def returns(engine: Engine) -> NDArray[np.float64]:
    """The mean return of the policy; a step pays 1 within 0.4 of the good mode. -> [S]."""
    policy, total = engine.policy("test"), np.zeros((len(engine.seeds), 50))
    rewards = None
    for step in range(2):
        observations = np.full((*total.shape, 1), step, np.float32)
        actions = policy(observations, rewards)
        rewards = (np.linalg.norm(actions - GOOD, axis=-1) < 0.4).astype(np.float32)
        total += rewards
    return np.asarray(total.mean(1))
