"""Single steps of a diffusion policy, for methods that look inside its chain.

Shapes and symbols are those of `diffusion.py`. Step k leads from x_k back to x_{k−1}: it predicts
the noise, from that the action, clips this, and draws N(mean of x_{k−1}, β_k I), the larger of the
two variances of Ho et al. (arXiv:2006.11239, Section 3.2); `diffusion.sample` has the smaller.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from algorithms.blocks.diffusion import Epsilon, embed_step, log_signal
from algorithms.initialisation import PYTORCH, Initialisation
from algorithms.networks import MLP, Params, mish


def add_noise(
    actions: Tensor, noise: Tensor, uniform: Tensor, diffusion_steps: int
) -> tuple[Tensor, Tensor]:
    """x_k of the data's actions, at the step k that `uniform` picks, and that k.

    actions and noise [S, B, action_dim], uniform [S, B, 1] -> [S, B, action_dim], [S, B, 1].
    """
    step = 1 + torch.floor(uniform * diffusion_steps)
    level = noise_level(step, diffusion_steps)
    return (1 - level.square()).sqrt() * actions + level * noise, step


def noise_level(step: Tensor, diffusion_steps: int) -> Tensor:
    """√(1 − ᾱ_k), the noise's share of x_k. [S, B, 1] -> the same."""
    return (1 - torch.exp(log_signal(step / diffusion_steps))).sqrt()


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


class Decision(NamedTuple):
    """One step back: the noise that was predicted, and where."""

    x: Tensor  # [S, B, action_dim]
    step: Tensor  # [S, B, 1]
    predicted: Tensor  # [S, B, action_dim]


def walk_back(
    epsilon: Epsilon, observations: Tensor, noise: Tensor, diffusion_steps: int
) -> tuple[Tensor, list[Decision]]:
    """Actions in [-1, 1], and the decisions from x_K to x_1 that led to them.

    noise: that of `diffusion.sampling_noise`, [S, B, K * action_dim] -> [S, B, action_dim].
    """
    start, *added = noise.chunk(diffusion_steps, -1)
    x, decisions = start, []
    for k in range(diffusion_steps, 0, -1):
        step = torch.full_like(x[..., :1], k)
        predicted = epsilon(observations, x, step)
        decisions.append(Decision(x, step, predicted))
        x = step_mean(predicted, x, step, diffusion_steps)
        if k > 1:
            x = x + step_deviation(step, diffusion_steps) * added[diffusion_steps - k]
    return x, decisions


@dataclass(frozen=True)
class StepMLP:
    """`ensemble` functions of (s, x_k, k): MLPs with Mish, the step embedded by another one.

    Called with observations `[S, B, obs_dim]`, x_k `[S, B, action_dim]` and k `[S, B, 1]`, it
    returns what `MLP` does.

    Attributes:
        waves: sines and cosines of the step.
        embedding_dims: hidden units and outputs of what embeds them.
        mish_last: whether Mish follows its last layer too.
    """

    obs_dim: int
    action_dim: int
    output_dim: int
    hidden_dims: tuple[int, ...]
    waves: int = 16
    embedding_dims: tuple[int, int] = (32, 32)
    mish_last: bool = False
    ensemble: int = 1
    layer_norm: bool = False
    initialisation: Initialisation = PYTORCH

    body: MLP = field(init=False)
    embedding: MLP = field(init=False)

    def __post_init__(self) -> None:
        # Built here, since a compiled update may read objects but not create them.
        hidden, embedded = self.embedding_dims
        body = MLP(
            self.obs_dim + self.action_dim + embedded,
            self.output_dim,
            self.hidden_dims,
            self.ensemble,
            activation="mish",
            layer_norm=self.layer_norm,
            norm_first=True,
            initialisation=self.initialisation,
        )
        embedding = MLP(
            self.waves,
            embedded,
            (hidden,),
            self.ensemble,
            activation="mish",
            initialisation=self.initialisation,
        )
        object.__setattr__(self, "body", body)
        object.__setattr__(self, "embedding", embedding)

    def init(self, generator: torch.Generator) -> Params:
        own = self.embedding.init(generator).items()
        return {**self.body.init(generator), **{f"step_{key}": value for key, value in own}}

    def __call__(self, params: Params, *inputs: Tensor) -> Tensor:
        observations, x, step = inputs
        own = {k.removeprefix("step_"): v for k, v in params.items() if k.startswith("step_")}
        embedded = self.embedding(own, embed_step(step, self.waves))
        if self.mish_last:
            embedded = mish(embedded)
        if self.ensemble > 1:
            observations, x = (
                each.unsqueeze(1).expand(-1, self.ensemble, -1, -1) for each in (observations, x)
            )
        return self.body(params, observations, x, embedded)
