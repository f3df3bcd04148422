"""Single steps of a diffusion policy's chain, each from a step of its own.

Shapes and symbols are those of `diffusion.py`. Step k leads from x_k back to x_{k−1}: it predicts
the noise, from that the action, clips this, and draws N(mean of x_{k−1}, β_k I), the larger of the
two variances of Ho et al. (arXiv:2006.11239, Section 3.2); `diffusion.sample` has the smaller.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.blocks.diffusion import log_signal, noise_level


def step_mean(predicted: Tensor, x: Tensor, step: Tensor, diffusion_steps: int) -> Tensor:
    """Mean of x_{k−1} by the noise predicted at x_k. [S, B, action_dim] each, step [S, B, 1]."""
    signal = torch.exp(log_signal(step / diffusion_steps))
    previous = torch.exp(log_signal((step - 1) / diffusion_steps))
    kept = signal / previous  # α_k
    action = (x - (1 - signal).sqrt() * predicted) / signal.sqrt()
    return (
        previous.sqrt() * (1 - kept) * action.clamp(-1, 1) + kept.sqrt() * (1 - previous) * x
    ) / (1 - signal)


def step_deviation(step: Tensor, diffusion_steps: int) -> Tensor:
    """√β_k, the noise that a step back adds; the last one, k = 1, adds none. [S, B, 1]."""
    return (step > 1) * _variance(step, diffusion_steps).sqrt()


def step_divergence(
    predicted: Tensor, reference: Tensor, step: Tensor, diffusion_steps: int
) -> Tensor:
    """KL of a step back from another's at the same x_k, by the noises that they predict.

    |difference of the means|² / 2β_k, before clipping. [S, B, action_dim] each, step [S, B, 1] ->
    [S, B].
    """
    variance, level = _variance(step, diffusion_steps), noise_level(step, diffusion_steps)
    weight = variance / (2 * (1 - variance) * level.square())
    return (weight * (predicted - reference).square()).sum(-1)


def _variance(step: Tensor, diffusion_steps: int) -> Tensor:
    """β_k = 1 − ᾱ_k / ᾱ_{k−1}."""
    now, before = (log_signal(k / diffusion_steps) for k in (step, step - 1))
    return 1 - torch.exp(now - before)
