"""What learners see for themselves: one growing store of transitions per seed, on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from algorithms.transitions import Floats, Transitions, row_width


class Mixture(NamedTuple):
    """Which transitions a batch is made of: the data's, and where `own` the learners' own."""

    data_indices: Tensor  # [S, B]
    own_indices: Tensor  # [S, B]
    own: Tensor  # [S, B], bool


class OnlineBuffer:
    """Up to `capacity` transitions of each of `slots` learners, in the order they were seen.

    All learners take their steps together, so all have equally many.

    Args:
        obs_dim: length of one flat observation.
        action_dim: length of one action.
        slots: learners.
        capacity: transitions of each.
        device: where they are kept.
        returns: gives the returns to go of a finished episode; None: they are not known, and
            episodes need not be finished to be learned from.
    """

    def __init__(
        self,
        obs_dim: int,
        action_dim: int,
        slots: int,
        capacity: int,
        device: torch.device,
        returns: Callable[[Transitions], Floats] | None = None,
    ) -> None:
        self._obs_dim, self._action_dim = obs_dim, action_dim
        self._rows = torch.zeros(slots, capacity, row_width(obs_dim, action_dim), device=device)
        self._slots = torch.arange(slots, device=device).unsqueeze(1)
        self._returns = torch.full((slots, capacity), torch.nan, device=device)
        self._returns_of = returns
        self._finished = [0] * slots  # of each learner's transitions, those of finished episodes
        self._size = 0
        self._filled = torch.zeros((), dtype=torch.int64, device=device)  # the same, for updates

    def __len__(self) -> int:
        return self._size

    def add(self, transitions: Transitions) -> None:
        """Append one transition a learner: `slots` rows, in the learners' order.

        Raises ValueError for another number of them, and when the buffer is full.
        """
        slots, capacity, _ = self._rows.shape
        if len(transitions) != slots or self._size == capacity:
            raise ValueError(
                f"{slots} learners with room for {capacity - self._size} transitions each cannot "
                f"add {len(transitions)}"
            )
        self._rows[:, self._size] = torch.from_numpy(transitions.rows).to(self._rows.device)
        self._size += 1
        self._filled.fill_(self._size)
        if self._returns_of is not None:
            for slot in np.flatnonzero(transitions.terminals + transitions.timeouts).tolist():
                episode = self.seen(slot, self._finished[slot])
                returns = torch.from_numpy(self._returns_of(episode))
                self._returns[slot, self._finished[slot] : self._size] = returns.to(self._rows)
                self._finished[slot] = self._size

    def sizes(self) -> list[int]:
        """How many transitions each learner can learn from: its first so many."""
        known = self._returns_of is not None
        return list(self._finished) if known else [self._size] * len(self._finished)

    def seen(self, slot: int, since: int) -> Transitions:
        """A copy of what one learner has seen after its first `since` transitions."""
        rows = self._rows[slot, since : self._size].cpu().numpy().copy()
        return Transitions(rows, self._obs_dim, self._action_dim)

    def gather(self, indices: Tensor) -> Own:
        """Each learner's own transitions. [S, B] -> fields `[S, B, ...]`."""
        rows = self._rows[self._slots, indices]
        before = self._rows[self._slots, (indices - 1).clamp(min=0)]
        after = self._rows[self._slots, (indices + 1).clamp(max=self._rows.shape[1] - 1)]
        goes_on = (indices > 0) & ~_ended(before)
        has_next = ((indices + 1 < self._filled) & ~_ended(rows)).float()
        actions = slice(self._obs_dim, self._obs_dim + self._action_dim)
        return Own(
            rows,
            before[..., actions] * goes_on.unsqueeze(-1),
            after[..., actions] * has_next.unsqueeze(-1),
            has_next,
            self._returns[self._slots, indices],
        )


class Own(NamedTuple):
    """Transitions as they were seen, and the actions before and after them in their episode."""

    rows: Tensor  # [S, B, row_width]
    previous_actions: Tensor  # [S, B, action_dim], zeros where an episode begins
    next_actions: Tensor  # [S, B, action_dim], zeros where `has_next` is 0
    has_next: Tensor  # [S, B], 1 where the episode went on
    returns: Tensor  # [S, B], to the end of the episode; NaN: not known


def _ended(rows: Tensor) -> Tensor:
    """Whether an episode ended by a terminal or a timeout. [S, B, row_width] -> [S, B]."""
    return rows[..., -2:].sum(-1) > 0


def draw_symmetric(
    sizes: Sequence[int], data_indices: Tensor, generators: Sequence[torch.Generator]
) -> Mixture:
    """Data and learners' own in turn, half of each (RLPD, arXiv:2302.02948).

    Args:
        sizes: transitions that each learner can learn from; where there are none, all are data.
        data_indices: [S, B], already drawn, of which every second one counts.
        generators: of the learners' own indices, one a learner.
    """
    batch, device = data_indices.shape[1], data_indices.device
    second = torch.arange(batch, device=device) % 2 == 1
    some = torch.tensor([size > 0 for size in sizes], device=device)
    drawn = _draw([max(size, 1) for size in sizes], data_indices, generators)
    return Mixture(data_indices, drawn, second & some.unsqueeze(1))


def draw_uniform(
    data_size: int,
    sizes: Sequence[int],
    data_indices: Tensor,
    generators: Sequence[torch.Generator],
) -> Mixture:
    """Each of the `data_size` and of the learner's own transitions as likely as any other.

    `sizes` as above; `data_indices` [S, B] say how many to draw.
    """
    drawn = _draw([data_size + size for size in sizes], data_indices, generators)
    own = drawn >= data_size
    return Mixture(drawn.clamp(max=data_size - 1), (drawn - data_size).clamp(min=0), own)


def _draw(below: Sequence[int], like: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
    drawn = [
        torch.randint(n, like.shape[1:], generator=g, device=g.device)
        for n, g in zip(below, generators, strict=True)
    ]
    return torch.stack(drawn)
