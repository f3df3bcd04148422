"""A denoiser of actions as EDM parametrises it, and its loss (Karras et al., arXiv:2206.00364).

Shapes: `S` seeds, `B` batch. x = a + σ ε, and what predicts a from it is
D(s, x, σ) = c_skip x + c_out F(s, c_in x, log(σ) / 4), clipped to ±1. The network F is called as
`model(observations, x, step)` with `x` `[S, B, action_dim]` and `step` `[S, B, 1]`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Model = Callable[[Tensor, Tensor, Tensor], Tensor]

SIGMA_DATA = 0.5  # standard deviation of the data, as it is taken to be
SIGMA_MIN, SIGMA_MAX = 0.002, 80.0
_LOWEST, _HIGHEST = (s**2 / (s**2 + SIGMA_DATA**2) for s in (SIGMA_MIN, SIGMA_MAX))  # quantiles


def noise_level(uniform: Tensor) -> Tensor:
    """σ between 0.002 and 80, log-logistic about 0.5 with a scale of 0.5. [S, B, 1] -> the same.

    Its cumulative distribution function is σ² / (σ² + 0.5²).
    """
    u = _LOWEST + (_HIGHEST - _LOWEST) * uniform
    return SIGMA_DATA * (u / (1 - u)).sqrt()


def denoising_loss(
    model: Model, observations: Tensor, actions: Tensor, noise: Tensor, uniform: Tensor
) -> Tensor:
    """E |D(s, a + σ ε, σ) − a|² / c_out², which weighs all noise levels about alike.

    observations [S, B, obs_dim], actions and noise [S, B, action_dim]; uniform, which picks each
    transition's σ, [S, B, 1] -> [S].
    """
    sigma = noise_level(uniform)
    total = (sigma.square() + SIGMA_DATA**2).sqrt()  # standard deviation of x
    skip, out = (SIGMA_DATA / total).square(), sigma * SIGMA_DATA / total
    x = actions + sigma * noise
    denoised = skip * x + out * model(observations, x / total, torch.log(sigma) / 4)
    return ((denoised.clamp(-1, 1) - actions) / out).square().mean((1, 2))
