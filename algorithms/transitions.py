"""The data every algorithm learns from: one packed float32 row a transition (NumPy only)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def _uniform_quantiles(parts: int) -> Floats:
    """Without data: as if every number were uniform on [-1, 1]. [parts + 1, 1]."""
    return np.linspace(-1, 1, parts + 1, dtype=np.float32)[:, None]


@dataclass(frozen=True)
class Facts:
    """Numbers of a dataset that methods may be built from. Returns are whole episodes', γ = 1.

    Attributes:
        quantiles: for a number of parts, what splits each number of a transition into as many, of
            equal shares of the data, from the lowest to the highest: `[parts + 1, obs_dim +
            action_dim + 2]`. The numbers are observations as networks see them, actions, the
            reward, and the return to go without it. Sorts the data whenever it is called.
    """

    longest_episode: int = 1000  # steps
    best_return: float = 1.0
    lowest_reward: float = 0.0
    highest_reward: float = 1.0
    quantiles: Callable[[int], Floats] = _uniform_quantiles


@dataclass(frozen=True)
class Transitions:
    """An offline dataset of `N` transitions in time order, episode after episode.

    Attributes:
        rows: float32 `[N, 2 * obs_dim + action_dim + 3]`, usually memory-mapped; its columns are
            observations, actions, rewards, next_observations, terminals, timeouts.
        obs_dim: length of one flat observation.
        action_dim: length of one action; actions lie in [-1, 1].

    `terminals` is 1 where the MDP ended (no bootstrap); `timeouts` is 1 where an episode was cut
    by a time limit or by the recipe (bootstrap). Either one ends an episode.
    """

    rows: Floats
    obs_dim: int
    action_dim: int

    def __post_init__(self) -> None:
        width = row_width(self.obs_dim, self.action_dim)
        if self.rows.ndim != 2 or self.rows.shape[1] != width or self.rows.dtype != np.float32:
            raise ValueError(
                f"rows must be float32 [N, {width}] for obs_dim {self.obs_dim} and action_dim "
                f"{self.action_dim}, found {self.rows.dtype} {list(self.rows.shape)}"
            )

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    @property
    def observations(self) -> Floats:
        return self.rows[:, : self.obs_dim]

    @property
    def actions(self) -> Floats:
        return self.rows[:, self.obs_dim : self.obs_dim + self.action_dim]

    @property
    def rewards(self) -> Floats:
        return self.rows[:, self.obs_dim + self.action_dim]

    @property
    def next_observations(self) -> Floats:
        start = self.obs_dim + self.action_dim + 1
        return self.rows[:, start : start + self.obs_dim]

    @property
    def terminals(self) -> Floats:
        return self.rows[:, -2]

    @property
    def timeouts(self) -> Floats:
        return self.rows[:, -1]

    def episode_ends(self) -> NDArray[np.int64]:
        """Row indices one past each episode's last transition; the last entry is `N`."""
        ends = np.flatnonzero((self.terminals > 0) | (self.timeouts > 0)) + 1
        if len(ends) == 0 or ends[-1] != len(self):
            ends = np.append(ends, len(self))
        return ends.astype(np.int64)

    def steps(self) -> NDArray[np.int64]:
        """Each transition's time within its episode, from 0. [N]."""
        ends = self.episode_ends()
        starts = np.concatenate([[0], ends[:-1]])
        steps: NDArray[np.int64] = np.arange(len(self)) - np.repeat(starts, ends - starts)
        return steps

    def episode_returns(self) -> NDArray[np.float64]:
        """The sum of every episode's rewards. [episodes]."""
        starts = np.concatenate([[0], self.episode_ends()[:-1]])
        return np.add.reduceat(self.rewards.astype(np.float64), starts)

    def episodes(self, chosen: NDArray[np.bool_]) -> Transitions:
        """A copy of some of the episodes, in order. chosen: [episodes]."""
        lengths = np.diff(self.episode_ends(), prepend=0)
        return replace(self, rows=np.ascontiguousarray(self.rows[np.repeat(chosen, lengths)]))

    def returns(
        self, discount: float, rewards: Floats | None = None, mean_reward: float | None = None
    ) -> Floats:
        """Discounted reward to go, Σ_i γ^i r, to the end of each transition's episode. [N].

        rewards: [N], others than its own.
        mean_reward: what is earned beyond a time limit in each step; None: these rewards' mean.

        Nothing follows a terminal.
        """
        each = self.rewards if rewards is None else rewards
        reward, terminals = each.tolist(), (self.terminals > 0).tolist()
        mean = float(each.mean(dtype=np.float64)) if mean_reward is None else mean_reward
        beyond = mean / (1 - discount) if discount < 1 else 0
        ends = np.zeros(len(self), bool)
        ends[self.episode_ends() - 1] = True
        result, to_go = np.empty(len(self), np.float32), 0.0
        for row, last in zip(range(len(self) - 1, -1, -1), ends[::-1].tolist(), strict=True):
            if last:
                to_go = 0.0 if terminals[row] else beyond
            to_go = reward[row] + discount * to_go
            result[row] = to_go
        return result

    @classmethod
    def pack(
        cls,
        *,
        observations: NDArray[Any],
        actions: NDArray[Any],
        rewards: NDArray[Any],
        next_observations: NDArray[Any],
        terminals: NDArray[Any],
        timeouts: NDArray[Any],
    ) -> Transitions:
        """Build the packed rows from separate arrays with a common first axis `N`."""
        columns = [
            observations,
            actions,
            rewards[:, None],
            next_observations,
            terminals[:, None],
            timeouts[:, None],
        ]
        rows = np.concatenate([np.asarray(c, np.float32) for c in columns], axis=1)
        return cls(np.ascontiguousarray(rows), observations.shape[1], actions.shape[1])


def row_width(obs_dim: int, action_dim: int) -> int:
    """Columns of one packed row."""
    return 2 * obs_dim + action_dim + 3
