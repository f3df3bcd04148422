"""Which learners have diverged, by what and when: found on the device, in the update itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class LossWatch:
    """For every slot the first update with a loss that is not finite, its place and its value.

    Looking is part of the compiled update and waits for nothing; `found` waits for the device.
    """

    def __init__(self, slots: int, device: torch.device) -> None:
        self._step = torch.zeros((), dtype=torch.int64, device=device)
        self._first = torch.zeros(slots, dtype=torch.int64, device=device)  # 0: none so far
        self._place = torch.zeros(slots, dtype=torch.int64, device=device)
        self._value = torch.zeros(slots, device=device)

    def start(self, step: int) -> None:
        """Forget what was found; `step` updates were taken before."""
        self._step.fill_(step)
        self._first.zero_()

    def look(self, losses: Sequence[Tensor]) -> None:
        """Take in the losses `[S]` of one update, always in the same order."""
        self._step.add_(1)
        if not losses:  # no phase was due
            return
        values = torch.stack([loss.float() for loss in losses])
        wrong = ~values.isfinite()
        new = wrong.any(0) & (self._first == 0)
        place = wrong.float().argmax(0)
        self._first.copy_(torch.where(new, self._step, self._first))
        self._place.copy_(torch.where(new, place, self._place))
        value = values.gather(0, place.unsqueeze(0)).squeeze(0)
        self._value.copy_(torch.where(new, value, self._value))

    def found(self) -> list[tuple[int, int, float]]:
        """(step, place among the losses, value) of every slot; step 0 where all were finite."""
        columns = (self._first.tolist(), self._place.tolist(), self._value.tolist())
        return [*zip(*columns, strict=True)]
