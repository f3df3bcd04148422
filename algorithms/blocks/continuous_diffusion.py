"""A diffusion model in continuous time: its noise schedule, network and loss.

Shapes: `S` seeds, `B` batch. Time t runs from 0, the action, to 1, almost pure noise:
x_t = α_t a + σ_t ε with α_t² + σ_t² = 1, the variance-preserving SDE of Song et al.,
arXiv:2011.13456, Appendix C. The network predicts that ε.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from algorithms.blocks.residual import ResidualMLP
from algorithms.networks import MLP, Params, bank

_BETA_MIN, _BETA_MAX = 0.1, 20.0  # rate of the added noise at times 0 and 1
_FREQUENCIES = 32  # of the time's features
_FREQUENCY_STD = 30.0  # in turns from time 0 to 1
_EMBEDDING_DIM = 128


def signal_and_noise(time: Tensor) -> tuple[Tensor, Tensor]:
    """α_t and σ_t. [S, B, 1] -> [S, B, 1] each."""
    log_alpha = -time * (0.5 * _BETA_MIN + 0.25 * (_BETA_MAX - _BETA_MIN) * time)
    return torch.exp(log_alpha), (-torch.expm1(2 * log_alpha)).sqrt()


@dataclass(frozen=True)
class FourierFeatures:
    """Sines and cosines of the time at frequencies that are drawn once and never trained.

    A network of its own, without an optimizer. Called with t `[S, B, 1]` it returns `[S, B, 64]`
    (Song et al., arXiv:2011.13456; Tancik et al., arXiv:2006.10739).
    """

    def init(self, generator: torch.Generator) -> Params:
        frequencies = torch.randn(1, 1, _FREQUENCIES, generator=generator)
        return {"frequencies": _FREQUENCY_STD * frequencies}

    def __call__(self, params: Params, *inputs: Tensor) -> Tensor:
        angles = 2 * math.pi * (inputs[0] * bank(params, "frequencies"))
        return torch.cat([angles.sin(), angles.cos()], -1)


@dataclass(frozen=True)
class ResidualNoiseModel:
    """ε(s, x_t, t) of SRPO's official code: IDQL's residual MLP with Mish, the time embedded.

    Called with observations `[S, B, obs_dim]`, x_t `[S, B, action_dim]` and the time's features
    `[S, B, 64]`, and with a `key` where it is to drop out.
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
            self.obs_dim + self.action_dim + _EMBEDDING_DIM,
            self.action_dim,
            self.width,
            self.blocks,
            activation="mish",
            dropout=self.dropout,
        )
        hidden = (_EMBEDDING_DIM,)
        embedding = MLP(2 * _FREQUENCIES, _EMBEDDING_DIM, hidden, activation="mish")
        object.__setattr__(self, "body", body)
        object.__setattr__(self, "embedding", embedding)

    def init(self, generator: torch.Generator) -> Params:
        own = self.embedding.init(generator).items()
        return {**self.body.init(generator), **{f"time_{key}": value for key, value in own}}

    def __call__(self, params: Params, *inputs: Tensor, key: Tensor | None = None) -> Tensor:
        observations, x, features = inputs
        own = {k.removeprefix("time_"): v for k, v in params.items() if k.startswith("time_")}
        return self.body(params, x, observations, self.embedding(own, features), key=key)
