"""A diffusion policy: its noise schedule, loss and sampler.

Shapes: `S` seeds, `B` batch, `K` diffusion steps. Step k runs from 1, almost the action, to K,
almost pure noise: x_k = √ᾱ_k a + √(1 − ᾱ_k) ε (Ho et al., arXiv:2006.11239, with the
variance-preserving schedule of Diffusion-QL, arXiv:2208.06193). The network predicts that ε and is
called as `epsilon(observations, x, k)` with `x` `[S, B, action_dim]` and `k` `[S, B, 1]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from algorithms.base import Normal

Epsilon = Callable[[Tensor, Tensor, Tensor], Tensor]

_BETA_MIN, _BETA_MAX = 0.1, 10.0  # rate of the added noise at the first and the last moment

Time = TypeVar("Time", float, Tensor)


def log_signal(time: Time) -> Time:
    """log ᾱ at time k / K, 0 for the action: minus the integral of a rate that grows linearly."""
    return -time * (_BETA_MIN + 0.5 * (_BETA_MAX - _BETA_MIN) * time)


def noise_level(step: Tensor, diffusion_steps: int) -> Tensor:
    """√(1 − ᾱ_k), the noise's share of x_k. [S, B, 1] -> the same."""
    return (1 - torch.exp(log_signal(step / diffusion_steps))).sqrt()


def add_noise(
    actions: Tensor, noise: Tensor, uniform: Tensor, diffusion_steps: int
) -> tuple[Tensor, Tensor]:
    """x_k of the data's actions, at the step k that `uniform` picks, and that k.

    actions and noise [S, B, action_dim], uniform [S, B, 1] -> [S, B, action_dim], [S, B, 1].
    """
    step = 1 + torch.floor(uniform * diffusion_steps)
    signal = torch.exp(log_signal(step / diffusion_steps))
    return signal.sqrt() * actions + (1 - signal).sqrt() * noise, step


def diffusion_loss(
    epsilon: Epsilon,
    observations: Tensor,
    actions: Tensor,
    noise: Tensor,
    uniform: Tensor,
    diffusion_steps: int,
) -> Tensor:
    """E |ε(s, x_k, k) − ε|² over the steps k (Ho et al., Eq. 14).

    observations [S, B, obs_dim], actions and noise [S, B, action_dim]; uniform, which picks each
    transition's step, [S, B, 1] -> [S].
    """
    x, step = add_noise(actions, noise, uniform, diffusion_steps)
    return (epsilon(observations, x, step) - noise).square().mean((1, 2))


def sampling_noise(action_dim: int, diffusion_steps: int) -> Normal:
    """The noise of one `sample`: where it starts, and what each step but the last one adds."""
    return Normal(diffusion_steps * action_dim)


class Decision(NamedTuple):
    """One step back: the noise that was predicted, and where."""

    x: Tensor  # [S, B, action_dim]
    step: Tensor  # [S, B, 1]
    predicted: Tensor  # [S, B, action_dim]


def walk_back(
    epsilon: Epsilon,
    observations: Tensor,
    noise: Tensor,
    diffusion_steps: int,
    *,
    variance: Literal["posterior", "added"] = "posterior",
    clip: Literal["action", "point"] = "action",
) -> tuple[Tensor, list[Decision]]:
    """Actions in [-1, 1], and the decisions from x_K to x_1 that led to them.

    Each step predicts the action and draws x_{k−1} about the mean of q(x_{k−1} | x_k, action) (Ho
    et al., Algorithm 2). noise: that of `sampling_noise`, [S, B, K * action_dim].

    variance: that of q, the smaller of the two of Ho et al., Section 3.2, or β_k, the larger.
    clip: the predicted action, or x_{k−1} itself.
    """
    x, *added = noise.chunk(diffusion_steps, -1)
    decisions = []
    for k in range(diffusion_steps, 0, -1):
        signal = math.exp(log_signal(k / diffusion_steps))
        previous = math.exp(log_signal((k - 1) / diffusion_steps))
        kept = signal / previous  # α_k = 1 − β_k, the share of the variance that step k keeps
        step = torch.full_like(x[..., :1], k)
        predicted = epsilon(observations, x, step)
        decisions.append(Decision(x, step, predicted))
        action = (x - math.sqrt(1 - signal) * predicted) / math.sqrt(signal)
        x = (
            math.sqrt(previous) * (1 - kept) * (action.clamp(-1, 1) if clip == "action" else action)
            + math.sqrt(kept) * (1 - previous) * x
        ) / (1 - signal)
        if k > 1:
            share = (1 - previous) / (1 - signal) if variance == "posterior" else 1.0
            x = x + math.sqrt((1 - kept) * share) * added[diffusion_steps - k]
        if clip == "point":
            x = x.clamp(-1, 1)
    return x, decisions


def sample(epsilon: Epsilon, observations: Tensor, noise: Tensor, diffusion_steps: int) -> Tensor:
    """Actions in [-1, 1], as Diffusion-QL's official code draws them. -> [S, B, action_dim]."""
    return walk_back(epsilon, observations, noise, diffusion_steps)[0]
