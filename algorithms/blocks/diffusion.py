"""A diffusion policy: its noise schedule, network, loss and sampler.

Shapes: `S` seeds, `B` batch, `K` diffusion steps. Step k runs from 1, almost the action, to K,
almost pure noise: x_k = √ᾱ_k a + √(1 − ᾱ_k) ε (Ho et al., arXiv:2006.11239, with the
variance-preserving schedule of Diffusion-QL, arXiv:2208.06193). The network predicts that ε and is
called as `epsilon(observations, x, k)` with `x` `[S, B, action_dim]` and `k` `[S, B, 1]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from algorithms.base import Normal
from algorithms.networks import MLP, Params

Epsilon = Callable[[Tensor, Tensor, Tensor], Tensor]

_BETA_MIN, _BETA_MAX = 0.1, 10.0  # rate of the added noise at the first and the last moment
_EMBEDDING_DIM = 16

Time = TypeVar("Time", float, Tensor)


def log_signal(time: Time) -> Time:
    """log ᾱ at time k / K, 0 for the action: minus the integral of a rate that grows linearly."""
    return -time * (_BETA_MIN + 0.5 * (_BETA_MAX - _BETA_MIN) * time)


def embed_step(step: Tensor, dim: int = _EMBEDDING_DIM) -> Tensor:
    """Sines and cosines of the step, frequencies from 1 down to 1e-4. [S, B, 1] -> [S, B, dim]."""
    half = dim // 2
    exponents = torch.arange(half, device=step.device) / (half - 1)
    angles = step * torch.exp(-math.log(10_000) * exponents)
    return torch.cat([angles.sin(), angles.cos()], -1)


@dataclass(frozen=True)
class NoiseNetwork:
    """ε(s, x_k, k) of Diffusion-QL's official code: MLPs with Mish, the step embedded by one.

    Called with observations `[S, B, obs_dim]`, x_k `[S, B, action_dim]` and k `[S, B, 1]`.
    """

    obs_dim: int
    action_dim: int
    hidden_dims: tuple[int, ...]

    body: MLP = field(init=False)
    embedding: MLP = field(init=False)

    def __post_init__(self) -> None:
        # Built here, since a compiled update may read objects but not create them.
        inputs = self.obs_dim + self.action_dim + _EMBEDDING_DIM
        body = MLP(inputs, self.action_dim, self.hidden_dims, activation="mish")
        hidden = (2 * _EMBEDDING_DIM,)
        embedding = MLP(_EMBEDDING_DIM, _EMBEDDING_DIM, hidden, activation="mish")
        object.__setattr__(self, "body", body)
        object.__setattr__(self, "embedding", embedding)

    def init(self, generator: torch.Generator) -> Params:
        own = self.embedding.init(generator).items()
        return {**self.body.init(generator), **{f"step_{key}": value for key, value in own}}

    def __call__(self, params: Params, *inputs: Tensor) -> Tensor:
        observations, x, step = inputs
        own = {k.removeprefix("step_"): v for k, v in params.items() if k.startswith("step_")}
        embedded = self.embedding(own, embed_step(step - 1))  # the official code counts from 0
        return self.body(params, observations, x, embedded)


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
    step = 1 + torch.floor(uniform * diffusion_steps)
    signal = torch.exp(log_signal(step / diffusion_steps))
    x = signal.sqrt() * actions + (1 - signal).sqrt() * noise
    return (epsilon(observations, x, step) - noise).square().mean((1, 2))


def sampling_noise(action_dim: int, diffusion_steps: int) -> Normal:
    """The noise of one `sample`: where it starts, and what each step but the last one adds."""
    return Normal(diffusion_steps * action_dim)


def sample(epsilon: Epsilon, observations: Tensor, noise: Tensor, diffusion_steps: int) -> Tensor:
    """Actions in [-1, 1], drawn by walking from x_K back to x_0 (Ho et al., Algorithm 2).

    Each step predicts the action, clips it as the official code does, and draws x_{k−1} from the
    posterior q(x_{k−1} | x_k, action). noise: [S, B, K * action_dim] -> [S, B, action_dim].
    """
    start, *added = noise.chunk(diffusion_steps, -1)
    x = start
    for k in range(diffusion_steps, 0, -1):
        signal = math.exp(log_signal(k / diffusion_steps))
        previous = math.exp(log_signal((k - 1) / diffusion_steps))
        kept = signal / previous  # α_k, the share of the variance that step k keeps
        predicted = epsilon(observations, x, torch.full_like(x[..., :1], k))
        action = (x - math.sqrt(1 - signal) * predicted) / math.sqrt(signal)
        x = (
            math.sqrt(previous) * (1 - kept) * action.clamp(-1, 1)
            + math.sqrt(kept) * (1 - previous) * x
        ) / (1 - signal)
        if k > 1:
            variance = (1 - kept) * (1 - previous) / (1 - signal)
            x = x + math.sqrt(variance) * added[diffusion_steps - k]
    return x
