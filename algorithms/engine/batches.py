"""A run's data on its device, and the batches gathered from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.base import Batch, Config
from algorithms.engine.columns import Columns, WholeData
from algorithms.engine.online_buffer import Mixture, OnlineBuffer
from algorithms.engine.preprocessing import KeptQuantiles, Preprocessing
from algorithms.engine.rewards import LearnedRewards
from algorithms.transitions import Floats, Transitions

_EPSILON = 1e-3  # TD3+BC's, added to the standard deviation


class Batches:
    """The transitions as an algorithm with this config sees them.

    Attributes:
        rewards: the transform of rewards.
        preprocessing: it, the normalisation, and the facts of the data in transformed rewards.
        mean_return: mean of the returns to go over the data.
        high_return: their 99th percentile.
        device: where they are.
        columns: what stages compute for every transition.
        context: transitions in a window; 0: single ones.
    """

    def __init__(self, transitions: Transitions, config: Config, device: torch.device) -> None:
        self._obs_dim, self._action_dim = transitions.obs_dim, transitions.action_dim
        self.device = device
        self._transitions = transitions
        self._rows = torch.from_numpy(transitions.rows).to(device)
        self.rewards = LearnedRewards.of(transitions, config)
        facts = replace(self.rewards.facts(transitions), quantiles=KeptQuantiles(self._quantiles))
        self.preprocessing = Preprocessing(
            self._action_dim, *_normalisation(transitions, config, device), self.rewards, facts
        )
        rewards = self.rewards(transitions.rewards)
        self._discount, self._mean_reward = config.discount, float(rewards.mean(dtype=np.float64))
        returns = transitions.returns(config.discount, rewards)
        self.mean_return = float(returns.mean(dtype=np.float64))
        self.high_return = float(np.quantile(returns, 0.99))
        self._returns = torch.from_numpy(returns).to(device)
        self._steps = torch.from_numpy(transitions.steps()).to(device)
        self.context = 0
        self.columns = Columns(WholeData(transitions, rewards, self._singles, device))

    def __len__(self) -> int:
        return len(self._rows)

    def normalize(self, observations: Tensor) -> Tensor:
        """Observations as networks see them. [..., obs_dim] -> the same."""
        return self.preprocessing.normalize(observations)

    def _quantiles(self, parts: int) -> Floats:
        """As `Facts.quantiles` says: of n sorted numbers those at k n / parts, and the last."""
        data = self._transitions
        rewards = self.rewards(data.rewards)
        later = self._returns.cpu().numpy() - rewards
        ranks = (np.arange(parts + 1) * len(data) // parts).clip(max=len(data) - 1)
        columns = (*data.observations.T, *data.actions.T, rewards, later)
        found = np.stack([np.sort(column)[ranks] for column in columns], 1)
        raw = torch.from_numpy(found[:, : self._obs_dim]).to(self.device)
        found[:, : self._obs_dim] = self.normalize(raw).cpu().numpy()
        return found

    def returns_of(self, episode: Transitions) -> Floats:
        """A learner's returns to go, transformed and cut off as the data's. [n]."""
        rewards = self.rewards(episode.rewards)
        return episode.returns(self._discount, rewards, self._mean_reward)

    def gather(self, indices: Tensor) -> Batch:
        """The batch of these transitions. [S, B] -> fields `[S, B, ...]`, or `[S, B, L, ...]`."""
        if not self.context:
            return self._singles(indices, self.columns.values)
        ahead = torch.arange(self.context, device=self.device)
        steps = self._steps[indices].unsqueeze(-1) + ahead
        rows = (indices.unsqueeze(-1) + ahead).clamp(max=len(self) - 1)
        valid = (self._steps[rows] == steps).float()
        batch = self._batch(self._gather(rows, self.columns.values), valid)
        return batch.map(lambda field: _masked(field, valid))._replace(steps=steps)

    def gather_mixed(self, mixture: Mixture, online: OnlineBuffer) -> Batch:
        """The batch of data and learners' own transitions.

        The learners' own have no `columns` (NaN), and `returns` if the buffer has them (else NaN).
        """
        own = mixture.own.unsqueeze(-1)
        data = self._gather(mixture.data_indices, self.columns.values)
        lived = online.gather(mixture.own_indices)
        unknown = torch.full_like(data.returns, torch.nan)
        found = _Gathered(
            rows=torch.where(own, lived.rows, data.rows),
            returns=torch.where(mixture.own, lived.returns, data.returns),
            previous_actions=torch.where(own, lived.previous_actions, data.previous_actions),
            next_actions=torch.where(own, lived.next_actions, data.next_actions),
            has_next=torch.where(mixture.own, lived.has_next, data.has_next),
            steps=torch.where(mixture.own, -1, data.steps),
            columns={k: _unknown_where(mixture.own, v) for k, v in data.columns.items()},
        )
        return self._batch(found, torch.ones_like(unknown))

    def _singles(self, indices: Tensor, columns: Mapping[str, Tensor]) -> Batch:
        """The batch of single transitions. [S, B] -> fields `[S, B, ...]`."""
        return self._batch(
            self._gather(indices, columns), torch.ones_like(indices, dtype=torch.float32)
        )

    def _gather(self, indices: Tensor, columns: Mapping[str, Tensor]) -> _Gathered:
        """Of transitions of the data, in any shape that begins with the seeds."""
        obs, act = self._obs_dim, self._action_dim
        flat, shape = indices.reshape(-1), indices.shape
        steps = self._steps.index_select(0, flat)
        after = (flat + 1).clamp(max=len(self) - 1)
        has_next = (self._steps.index_select(0, after) == steps + 1).float()
        actions = self._rows[:, obs : obs + act]
        previous = actions.index_select(0, (flat - 1).clamp(min=0)) * (steps > 0).unsqueeze(-1)
        following = actions.index_select(0, after) * has_next.unsqueeze(-1)
        seeds = torch.arange(shape[0], device=self.device).view(-1, *[1] * (len(shape) - 1))
        return _Gathered(
            rows=self._rows.index_select(0, flat).view(*shape, -1),
            returns=self._returns.index_select(0, flat).view(shape),
            previous_actions=previous.view(*shape, act),
            next_actions=following.view(*shape, act),
            has_next=has_next.view(shape),
            steps=steps.view(shape),
            columns={name: column[seeds, indices] for name, column in columns.items()},
        )

    def _batch(self, found: _Gathered, valid: Tensor) -> Batch:
        obs, act, rows = self._obs_dim, self._action_dim, found.rows
        start = obs + act + 1
        return Batch(
            observations=self.normalize(rows[..., :obs]),
            actions=rows[..., obs : obs + act],
            rewards=rows[..., obs + act] * self.rewards.scale + self.rewards.shift,
            next_observations=self.normalize(rows[..., start : start + obs]),
            masks=1 - rows[..., -2],
            returns=found.returns,
            previous_actions=found.previous_actions,
            next_actions=found.next_actions,
            has_next=found.has_next,
            steps=found.steps,
            valid=valid,
            columns=found.columns,
        )


class _Gathered(NamedTuple):
    """What a batch is made of, as stored."""

    rows: Tensor  # [..., row_width]
    returns: Tensor
    previous_actions: Tensor  # [..., action_dim]
    next_actions: Tensor  # [..., action_dim]
    has_next: Tensor
    steps: Tensor
    columns: dict[str, Tensor]


def _unknown_where(own: Tensor, column: Tensor) -> Tensor:
    return column.masked_fill(own.view(*own.shape, *[1] * (column.ndim - own.ndim)), torch.nan)


def _masked(x: Tensor, valid: Tensor) -> Tensor:
    return x * (valid.unsqueeze(-1) if x.ndim > valid.ndim else valid).to(x.dtype)


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
