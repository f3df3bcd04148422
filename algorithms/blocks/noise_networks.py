"""Networks of a diffusion over actions: the noise in x_k, or a value, of (s, x_k, k).

Shapes: `S` seeds, `B` batch; steps k are those of `diffusion.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from algorithms.blocks.residual import ResidualMLP
from algorithms.initialisation import GLOROT, PYTORCH, Initialisation
from algorithms.networks import MLP, Activation, Params, bank, mish, part, prefixed

_FREQUENCY_STD = 0.2  # of learned frequencies at first, in turns a step


def embed_step(step: Tensor, dim: int) -> Tensor:
    """Sines and cosines of the step at frequencies from 1 to 1e-4. [S, B, 1] -> [S, B, dim]."""
    half = dim // 2
    exponents = torch.arange(half, device=step.device) / (half - 1)
    angles = step * torch.exp(-math.log(10_000) * exponents)
    return torch.cat([angles.sin(), angles.cos()], -1)


@dataclass(frozen=True)
class StepMLP:
    """`ensemble` functions of (s, x_k, k): MLPs with Mish, the step embedded by another one.

    Called with observations `[S, B, obs_dim]`, x_k `[S, B, action_dim]` and k `[S, B, 1]`, it
    returns what `MLP` does.

    Attributes:
        waves: sines and cosines of the step.
        embedding_dims: hidden units and outputs of what embeds them.
        counts_from: what the network sees the first step as.
        mish_last: whether Mish follows its last layer too.
    """

    obs_dim: int
    action_dim: int
    output_dim: int
    hidden_dims: tuple[int, ...]
    waves: int = 16
    embedding_dims: tuple[int, int] = (32, 32)
    counts_from: int = 1
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
        own = self.embedding.init(generator)
        return self.body.init(generator) | prefixed(own, "step_")

    def __call__(self, params: Params, *inputs: Tensor) -> Tensor:
        observations, x, step = inputs
        embedded = self.embedding(
            part(params, "step_"), embed_step(step - 1 + self.counts_from, self.waves)
        )
        if self.mish_last:
            embedded = mish(embedded)
        if self.ensemble > 1:
            observations, x = (
                each.unsqueeze(1).expand(-1, self.ensemble, -1, -1) for each in (observations, x)
            )
        return self.body(params, observations, x, embedded)


def noise_network(obs_dim: int, action_dim: int, hidden_dims: tuple[int, ...]) -> StepMLP:
    """ε(s, x_k, k) of Diffusion-QL's official code."""
    return StepMLP(
        obs_dim, action_dim, action_dim, hidden_dims, embedding_dims=(32, 16), counts_from=0
    )


@dataclass(frozen=True)
class ResidualNoiseNetwork:
    """ε(s, x, waves): a residual MLP of the state, x and what an MLP makes of the time's waves.

    Called with observations `[S, B, obs_dim]`, x `[S, B, action_dim]` and waves `[S, B, waves]`,
    and with a `key` where it is to drop out.
    """

    obs_dim: int
    action_dim: int
    width: int
    blocks: int
    dropout: float  # of what enters a block, while a key is given
    waves: int  # sines and cosines of the time
    embedding_dim: int  # hidden units and outputs of what embeds them
    activation: Activation
    initialisation: Initialisation = PYTORCH

    body: ResidualMLP = field(init=False)
    embedding: MLP = field(init=False)

    def __post_init__(self) -> None:
        # Built here, since a compiled update may read objects but not create them.
        body = ResidualMLP(
            self.obs_dim + self.action_dim + self.embedding_dim,
            self.action_dim,
            self.width,
            self.blocks,
            dropout=self.dropout,
            activation=self.activation,
            initialisation=self.initialisation,
        )
        embedding = MLP(
            self.waves,
            self.embedding_dim,
            (self.embedding_dim,),
            activation=self.activation,
            initialisation=self.initialisation,
        )
        object.__setattr__(self, "body", body)
        object.__setattr__(self, "embedding", embedding)

    def init(self, generator: torch.Generator) -> Params:
        own = self.embedding.init(generator)
        return self.body.init(generator) | prefixed(own, "time_")

    def __call__(self, params: Params, *inputs: Tensor, key: Tensor | None = None) -> Tensor:
        observations, x, waves = inputs
        return self.body(
            params, x, observations, self.embedding(part(params, "time_"), waves), key=key
        )


@dataclass(frozen=True)
class LearnedWavesNetwork:
    """ε(s, x_k, k) of IDQL: a residual network of cosines and sines whose frequencies it learns.

    Hansen-Estruch et al., arXiv:2304.10573, Appendix G. Called with observations `[S, B, obs_dim]`,
    x_k `[S, B, action_dim]` and k `[S, B, 1]`, and with a `key` where it is to drop out.
    """

    obs_dim: int
    action_dim: int
    width: int
    blocks: int
    dropout: float = 0.0

    of_waves: ResidualNoiseNetwork = field(init=False)
    frequencies: int = field(init=False)  # how many

    def __post_init__(self) -> None:
        frequencies = max(1, self.width // 4)
        of_waves = ResidualNoiseNetwork(
            self.obs_dim,
            self.action_dim,
            self.width,
            self.blocks,
            self.dropout,
            waves=2 * frequencies,
            embedding_dim=self.width,
            activation="silu",
            initialisation=GLOROT,
        )
        object.__setattr__(self, "frequencies", frequencies)
        object.__setattr__(self, "of_waves", of_waves)

    def init(self, generator: torch.Generator) -> Params:
        frequencies = _FREQUENCY_STD * torch.randn(1, 1, self.frequencies, generator=generator)
        return {"frequencies": frequencies, **self.of_waves.init(generator)}

    def __call__(self, params: Params, *inputs: Tensor, key: Tensor | None = None) -> Tensor:
        observations, x, step = inputs
        angles = 2 * math.pi * (step - 1) * bank(params, "frequencies")  # the code counts from 0
        waves = torch.cat([angles.cos(), angles.sin()], -1)
        return self.of_waves(params, observations, x, waves, key=key)
