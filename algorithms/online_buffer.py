"""What learners see for themselves: one growing store of transitions a seed, on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.transitions import Transitions, row_width


class OnlineBuffer:
    """Up to `capacity` transitions of each of `slots` learners, in the order they were seen.

    All learners take their steps together, so all have equally many.
    """

    def __init__(
        self, obs_dim: int, action_dim: int, slots: int, capacity: int, device: torch.device
    ) -> None:
        self._obs_dim, self._action_dim = obs_dim, action_dim
        self._rows = torch.zeros(slots, capacity, row_width(obs_dim, action_dim), device=device)
        self._slots = torch.arange(slots, device=device).unsqueeze(1)
        self._size = 0

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

    def gather(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Each learner's own rows, and the actions before them: zeros where an episode begins.

        [S, B] -> [S, B, row_width], [S, B, action_dim].
        """
        before = self._rows[self._slots, (indices - 1).clamp(min=0)]
        ended = before[..., -2:].sum(-1) > 0  # by a terminal or a timeout
        goes_on = (indices > 0) & ~ended
        actions = before[..., self._obs_dim : self._obs_dim + self._action_dim]
        return self._rows[self._slots, indices], actions * goes_on.unsqueeze(-1)
