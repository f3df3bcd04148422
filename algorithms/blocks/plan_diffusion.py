"""Diffusion of plans whose first observation is known, with Nichol and Dhariwal's cosine schedule.

Janner et al., arXiv:2205.09991; the schedule: arXiv:2102.09672. Shapes: `S` seeds, `B` plans, `L`
steps of a plan, `D` numbers of a step, the observation last; `K` diffusion steps. Step k runs from
1, almost the plan, to K, pure noise but for a thousandth: x_k = √ᾱ_k x_0 + √(1 − ᾱ_k) ε.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

_OFFSET = 0.008  # s, so that the first steps add some noise
_MOST_LOST = 0.999  # of the signal in a step: the last one would lose all


@dataclass(frozen=True)
class CosineSchedule:
    """ᾱ_k and what follows from it.

    Attributes:
        steps: K.
        signals: ᾱ_0 to ᾱ_K.
    """

    steps: int
    signals: tuple[float, ...] = field(init=False)

    def __post_init__(self) -> None:
        every = torch.arange(self.steps + 1, dtype=torch.float64)
        object.__setattr__(self, "signals", tuple(self.signal(every).tolist()))

    def signal(self, step: Tensor) -> Tensor:
        """ᾱ_k of every step."""

        def cosine(share: Tensor) -> Tensor:
            return ((share + _OFFSET) / (1 + _OFFSET) * (math.pi / 2)).cos().square()

        of_last = 1 - _MOST_LOST * (step == self.steps).to(step.dtype)
        kept = cosine(step.clamp(max=self.steps - 1) / self.steps)
        return of_last * kept / math.cos(_OFFSET / (1 + _OFFSET) * (math.pi / 2)) ** 2

    def pick(self, uniform: Tensor) -> Tensor:
        """A step for each plan. Uniform noise `[S, B, 1]` -> 1 to K, the same shape."""
        return 1 + torch.floor(uniform * self.steps)

    def add_noise(self, plans: Tensor, noise: Tensor, step: Tensor) -> Tensor:
        """x_k. plans and noise [S, B, L, D], step [S, B, 1] -> [S, B, L, D]."""
        signal = self.signal(step).unsqueeze(-1)
        return signal.sqrt() * plans + (1 - signal).sqrt() * noise

    def predicted(self, x: Tensor, noise: Tensor, step: int) -> Tensor:
        """The plan x_0 that x_k is of, if that is its noise."""
        signal = self.signals[step]
        return (x - math.sqrt(1 - signal) * noise) / math.sqrt(signal)

    def variance(self, step: int) -> float:
        """Of x_{k-1}, where x_k and x_0 are known."""
        signal, before = self.signals[step], self.signals[step - 1]
        return (1 - signal / before) * (1 - before) / (1 - signal)

    def previous(self, x: Tensor, plans: Tensor, noise: Tensor, step: int) -> Tensor:
        """x_{k-1} ~ q(x_{k-1} | x_k, x_0) (Ho et al., Eq. 7), for noise of N(0, 1)."""
        signal, before = self.signals[step], self.signals[step - 1]
        kept = signal / before
        mean = (math.sqrt(before) * (1 - kept) * plans + math.sqrt(kept) * (1 - before) * x) / (
            1 - signal
        )
        return mean + math.sqrt(self.variance(step)) * noise


def begin_with(plans: Tensor, observations: Tensor) -> Tensor:
    """Plans with these first observations. [S, B, L, D], [S, B, obs_dim] -> [S, B, L, D]."""
    others = plans[:, :, 0, : plans.shape[-1] - observations.shape[-1]]
    first = torch.cat([others, observations], -1).unsqueeze(2)
    return torch.cat([first, plans[:, :, 1:]], 2)
