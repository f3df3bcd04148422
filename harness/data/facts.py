"""Numbers about packed rows that cards, figures and checks share (NumPy only)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.transitions import Transitions


@dataclass(frozen=True)
class RowFacts:
    """What a card says of rows; every row counts, none is sampled.

    Attributes:
        lengths: steps of every episode, [E].
        returns: sum of rewards of every episode, [E].
        at_low: share of every action's steps at the lower limit of -1, [action_dim].
        at_high: the same for 1.
        terminals: how many steps ended the MDP.
        mean_reward: of a step.
    """

    lengths: NDArray[np.int64]
    returns: NDArray[np.float64]
    at_low: NDArray[np.float64]
    at_high: NDArray[np.float64]
    terminals: int
    mean_reward: float

    @property
    def saturation(self) -> float:
        """Share of all action numbers that are at a limit."""
        return float((self.at_low + self.at_high).mean())


def facts_of(rows: Transitions) -> RowFacts:
    """The facts of rows."""
    ends = rows.episode_ends()
    lengths = np.diff(ends, prepend=0)
    return RowFacts(
        lengths=lengths,
        returns=np.add.reduceat(rows.rewards.astype(np.float64), ends - lengths),
        at_low=(rows.actions <= -1.0).mean(0),
        at_high=(rows.actions >= 1.0).mean(0),
        terminals=int((rows.terminals > 0).sum()),
        mean_reward=float(rows.rewards.mean(dtype=np.float64)),
    )


def spread(values: NDArray[Any]) -> str:
    """Mean, standard deviation and range in words."""
    return f"{values.mean():.1f} ± {values.std():.1f} (from {values.min():g} to {values.max():g})"
