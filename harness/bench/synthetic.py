"""Made-up transitions: only their shapes matter to speed."""

from __future__ import annotations

import numpy as np

from algorithms.transitions import Transitions

_LONGEST_EPISODE = 1000


def synthetic_transitions(rows: int, obs_dim: int, action_dim: int) -> Transitions:
    """Random transitions in episodes of up to 1000 steps."""
    rng = np.random.default_rng(0)
    observations = rng.standard_normal((rows, obs_dim), dtype=np.float32)
    actions = np.tanh(rng.standard_normal((rows, action_dim), dtype=np.float32))
    return Transitions.pack(
        observations=observations,
        actions=actions,
        rewards=0.1 * observations[:, :3].sum(1) + 0.05 * actions.sum(1),
        next_observations=observations + 0.1,
        terminals=rng.random(rows) < 0.002,
        timeouts=np.arange(rows) % _LONGEST_EPISODE == _LONGEST_EPISODE - 1,
    )
