"""IDQL's diffusion policy: a residual network with learned frequencies of the step, a sampler.

Paper: Hansen-Estruch et al., arXiv:2304.10573, Appendix G. Shapes, steps and the schedule of noise
are those of `diffusion.py`, whose loss trains this network too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from algorithms.blocks.diffusion import Epsilon, log_signal
from algorithms.blocks.residual import ResidualMLP
from algorithms.initialisation import GLOROT
from algorithms.networks import MLP, Params, bank

_FREQUENCY_STD = 0.2  # of frequencies at first, in turns a step


@dataclass(frozen=True)
class ResidualNoiseNetwork:
    """ε(s, x_k, k): a residual MLP of the state, x_k and the step, as an MLP embeds it.

    The embedding sees cosines and sines of the step at `width` / 4 frequencies, which are learned.
    Called with observations `[S, B, obs_dim]`, x_k `[S, B, action_dim]` and k `[S, B, 1]`, and
    with a `key` where it is to drop out.
    """

    obs_dim: int
    action_dim: int
    width: int
    blocks: int
    dropout: float = 0.0  # of what enters a block, while a key is given

    body: ResidualMLP = field(init=False)
    embedding: MLP = field(init=False)

    def __post_init__(self) -> None:
        # Built here, since a compiled update may read objects but not create them.
        body = ResidualMLP(
            self.obs_dim + self.action_dim + self.width,
            self.action_dim,
            self.width,
            self.blocks,
            activation="silu",
            dropout=self.dropout,
            initialisation=GLOROT,
        )
        waves = 2 * self.frequencies
        embedding = MLP(waves, self.width, (self.width,), activation="silu", initialisation=GLOROT)
        object.__setattr__(self, "body", body)
        object.__setattr__(self, "embedding", embedding)

    @property
    def frequencies(self) -> int:
        """How many."""
        return max(1, self.width // 4)

    def init(self, generator: torch.Generator) -> Params:
        frequencies = _FREQUENCY_STD * torch.randn(1, 1, self.frequencies, generator=generator)
        own = self.embedding.init(generator).items()
        return {
            "frequencies": frequencies,
            **{f"step_{key}": value for key, value in own},
            **self.body.init(generator),
        }

    def __call__(self, params: Params, *inputs: Tensor, key: Tensor | None = None) -> Tensor:
        observations, x, step = inputs
        angles = 2 * math.pi * (step - 1) * bank(params, "frequencies")  # the code counts from 0
        own = {k.removeprefix("step_"): v for k, v in params.items() if k.startswith("step_")}
        embedded = self.embedding(own, torch.cat([angles.cos(), angles.sin()], -1))
        return self.body(params, x, observations, embedded, key=key)


def sample_clipped(
    epsilon: Epsilon, observations: Tensor, noise: Tensor, diffusion_steps: int
) -> Tensor:
    """Actions in [-1, 1], drawn by walking from x_K back to x_0 (Ho et al., Algorithm 2).

    Each step adds noise of the variance β_k and clips x_{k−1} itself, as IDQL's official code does;
    `diffusion.sample` has the posterior's variance and clips the predicted action.
    noise: [S, B, K * action_dim], of `diffusion.sampling_noise` -> [S, B, action_dim].
    """
    x, *added = noise.chunk(diffusion_steps, -1)
    for k in range(diffusion_steps, 0, -1):
        signal = math.exp(log_signal(k / diffusion_steps))
        kept = signal / math.exp(log_signal((k - 1) / diffusion_steps))  # 1 − β_k
        predicted = epsilon(observations, x, torch.full_like(x[..., :1], k))
        x = (x - (1 - kept) / math.sqrt(1 - signal) * predicted) / math.sqrt(kept)
        if k > 1:
            x = x + math.sqrt(1 - kept) * added[diffusion_steps - k]
        x = x.clamp(-1, 1)
    return x
