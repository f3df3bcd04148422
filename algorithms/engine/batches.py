"""A run's data on its device, and the batches gathered from it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.base import Batch, Config
from algorithms.engine.online_buffer import Mixture, OnlineBuffer
from algorithms.engine.transitions import Transitions

_EPSILON = 1e-3  # TD3+BC's, added to the standard deviation


class Batches:
    """The transitions as an algorithm with this config sees them.

    Attributes:
        reward_scale: what rewards are multiplied with.
        mean_return: mean of the scaled returns to go over the data.
        high_return: their 99th percentile.
        device: where they are.
    """

    def __init__(self, transitions: Transitions, config: Config, device: torch.device) -> None:
        self._obs_dim, self._action_dim = transitions.obs_dim, transitions.action_dim
        self.device = device
        self._rows = torch.from_numpy(transitions.rows).to(device)
        returns = transitions.returns(config.discount)
        self.reward_scale = 1.0
        if config.normalize_rewards:
            self.reward_scale = 1 / max(float(np.abs(returns).mean(dtype=np.float64)), 1e-8)
        self.mean_return = self.reward_scale * float(returns.mean(dtype=np.float64))
        self.high_return = self.reward_scale * float(np.quantile(returns, 0.99))
        self._returns = torch.from_numpy(returns * np.float32(self.reward_scale)).to(device)
        self._goes_on = torch.from_numpy(~transitions.episode_starts()).to(device)
        self._mean, self._scale = _normalisation(transitions, config, device)

    def __len__(self) -> int:
        return len(self._rows)

    def normalize(self, observations: Tensor) -> Tensor:
        """Observations as networks see them. [..., obs_dim] -> the same."""
        return (observations - self._mean) * self._scale

    def gather(self, indices: Tensor) -> Batch:
        """The batch of these transitions. [S, B] -> fields `[S, B, ...]`."""
        return self._batch(*self._gather(indices))

    def gather_mixed(self, mixture: Mixture, online: OnlineBuffer) -> Batch:
        """The batch of data and learners' own transitions.

        The learners' own have no `returns` (NaN), as their episodes may be under way.
        """
        own = mixture.own.unsqueeze(-1)
        rows, returns, previous = self._gather(mixture.data_indices)
        own_rows, own_previous = online.gather(mixture.own_indices)
        return self._batch(
            torch.where(own, own_rows, rows),
            returns.masked_fill(mixture.own, torch.nan),
            torch.where(own, own_previous, previous),
        )

    def _gather(self, indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows as stored, scaled returns and previous actions. [S, B] -> `[S, B, ...]` each."""
        obs, act = self._obs_dim, self._action_dim
        flat = indices.reshape(-1)
        previous = self._rows[:, obs : obs + act].index_select(0, (flat - 1).clamp(min=0))
        goes_on = self._goes_on.index_select(0, flat).unsqueeze(-1)
        return (
            self._rows.index_select(0, flat).view(*indices.shape, -1),
            self._returns.index_select(0, flat).view(indices.shape),
            (previous * goes_on).view(*indices.shape, act),
        )

    def _batch(self, rows: Tensor, returns: Tensor, previous_actions: Tensor) -> Batch:
        obs, act = self._obs_dim, self._action_dim
        start = obs + act + 1
        return Batch(
            observations=self.normalize(rows[..., :obs]),
            actions=rows[..., obs : obs + act],
            rewards=rows[..., obs + act] * self.reward_scale,
            next_observations=self.normalize(rows[..., start : start + obs]),
            masks=1 - rows[..., -2],
            returns=returns,
            previous_actions=previous_actions,
        )


def _normalisation(
    transitions: Transitions, config: Config, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Shift and scale of observations, float32 [obs_dim] each."""
    mean: NDArray[np.float64] = np.zeros(transitions.obs_dim)
    std: NDArray[np.float64] = np.ones(transitions.obs_dim)
    if config.normalize_observations:
        mean = transitions.observations.mean(0, dtype=np.float64)
        std = transitions.observations.std(0, dtype=np.float64) + _EPSILON
    return (
        torch.tensor(mean, dtype=torch.float32, device=device),
        torch.tensor(1 / std, dtype=torch.float32, device=device),
    )
