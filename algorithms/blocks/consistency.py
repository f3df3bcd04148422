"""A consistency model of actions: its function, its training from data, and a sampler of few steps.

Shapes: `S` seeds, `B` batch. f(s, x, σ) takes x = a + σ ε to where the ODE of EDM's diffusion
(`edm.py`) begins, and so is the same all along its path (Song et al., arXiv:2303.01469, as
Consistency-AC, arXiv:2309.16984, has it). The network is called as `model(observations, x, σ)` with
`x` `[S, B, action_dim]` and `σ` `[S, B, 1]`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.blocks.edm import SIGMA_DATA, SIGMA_MAX, SIGMA_MIN, Model
from algorithms.networks import Params

_FEWEST, _MOST = 2, 150  # s_0 and s_1, levels of noise
_RHO = 7.0  # how much finer the levels are where there is little noise
_LOSS_SCALE = 100.0
_LAST_SIGMA = 2.0  # of a sample


def consistency(model: Model, observations: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
    """f(s, x, σ) = c_skip x + c_out F(s, x, σ), which is x where σ is smallest.

    [S, B, obs_dim], [S, B, action_dim], [S, B, 1] -> [S, B, action_dim].
    """
    above = sigma - SIGMA_MIN
    skip = SIGMA_DATA**2 / (above.square() + SIGMA_DATA**2)
    out = SIGMA_DATA * above / (sigma.square() + SIGMA_DATA**2).sqrt()
    return skip * x + out * model(observations, x, sigma)


def noise_levels(progress: Tensor) -> Tensor:
    """N, from 2 to 150: how many levels of noise there are when that share of updates is done."""
    return (progress * (_MOST**2 - _FEWEST**2) + _FEWEST**2).sqrt().ceil()


def level(index: Tensor, count: Tensor) -> Tensor:
    """σ of the level of that index, 0 to N − 1, of N (Karras et al., arXiv:2206.00364, Eq. 5)."""
    low, high = SIGMA_MIN ** (1 / _RHO), SIGMA_MAX ** (1 / _RHO)
    root: Tensor = low + index / (count - 1) * (high - low)
    return root**_RHO


def consistency_loss(
    model: Model,
    teacher: Model,
    observations: Tensor,
    actions: Tensor,
    noise: Tensor,
    uniform: Tensor,
    count: Tensor,
) -> Tensor:
    """E 100 / (σ_{n+1} − σ_n) |f(s, a + σ_{n+1} ε, σ_{n+1}) − f̄(s, a + σ_n ε, σ_n)|².

    teacher: the network of f̄, which gets no gradient. observations [S, B, obs_dim], actions and
    noise [S, B, action_dim]; uniform, which picks each transition's n, [S, B, 1]; count, N, [S] ->
    [S].
    """
    count = count.view(-1, 1, 1)
    index = torch.floor(uniform * (count - 1))
    lower, upper = level(index, count), level(index + 1, count)
    target = consistency(teacher, observations, actions + lower * noise, lower).detach()
    found = consistency(model, observations, actions + upper * noise, upper)
    return (_LOSS_SCALE / (upper - lower) * (found - target).square()).mean((1, 2))


def sample(model: Model, observations: Tensor, noise: Tensor, steps: int) -> Tensor:
    """Actions in [-1, 1]: f of pure noise, and of its own results with less and less noise.

    Levels go evenly from 80 to 2. noise: [S, B, steps * action_dim] -> [S, B, action_dim].
    """
    first, *added = noise.chunk(steps, -1)
    x = SIGMA_MAX * first
    for i in range(steps):
        sigma = SIGMA_MAX + (_LAST_SIGMA - SIGMA_MAX) * i / max(1, steps - 1)
        if i > 0:
            x = x + math.sqrt(sigma**2 - SIGMA_MIN**2) * added[i - 1]
        x = consistency(model, observations, x, torch.full_like(x[..., :1], sigma))
    return x.clamp(-1, 1)


@dataclass(frozen=True)
class UpdateCount:
    """How many updates there have been: a network that no gradient moves. Called so, `[S]`."""

    def init(self, generator: torch.Generator) -> Params:
        return {"count": torch.zeros(1)}

    def __call__(self, params: Params, *inputs: Tensor) -> Tensor:
        return params["count"][:, 0]
