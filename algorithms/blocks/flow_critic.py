"""A critic that is a flow: Q(s, a) is where a number z ends that follows a learned velocity.

Agrawalla et al., floq, arXiv:2509.06863. Shapes: `S` seeds, `E` ensemble members, `N` transitions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from algorithms.blocks.flow import sample
from algorithms.networks import MLP, Params

_REACH = 3.0  # standard deviations beyond the bins: further out float32 has nothing to normalise


def gaussian_histogram(x: Tensor, low: float, high: float, bins: int, sigma: float) -> Tensor:
    """Shares of N(x, σ²), cut to [low, high], in equal bins of it. [..., 1] -> [..., bins].

    HL-Gauss (Imani and White, arXiv:1806.04613). sigma: in units of a bin's width. x is clipped to
    three standard deviations beyond the bins, where its shares can still be told.
    """
    width = (high - low) / bins
    scale = sigma * width
    x = x.clamp(low - _REACH * scale, high + _REACH * scale)
    edges = low + width * torch.arange(bins + 1, device=x.device, dtype=x.dtype)
    cumulative = torch.erf((edges - x) / (math.sqrt(2) * scale))
    return cumulative.diff(dim=-1) / (cumulative[..., -1:] - cumulative[..., :1])


@dataclass(frozen=True)
class FlowCritic:
    """dz/dt, for each of `ensemble` critics, at a state, an action, z and the time t.

    Called with observations and actions `[S, N, ·]`, z and t `[S, E, N, 1]`, it returns
    `[S, E, N, 1]`. z enters as a histogram over [low, high], whose resolution does not depend on
    the size of returns, and t as cos t.
    """

    obs_dim: int
    action_dim: int
    hidden_dims: tuple[int, ...]
    low: float
    high: float
    bins: int
    sigma: float  # of the histogram's Gaussian, in bins
    layer_norm: bool = True
    ensemble: int = 2

    mlp: MLP = field(init=False)

    def __post_init__(self) -> None:
        # Built here, since a compiled update may read objects but not create them.
        mlp = MLP(
            self.obs_dim + self.action_dim + self.bins + 1,
            1,
            self.hidden_dims,
            self.ensemble,
            activation="gelu",
            layer_norm=self.layer_norm,
        )
        object.__setattr__(self, "mlp", mlp)

    def init(self, generator: torch.Generator) -> Params:
        return self.mlp.init(generator)

    def __call__(self, params: Params, *inputs: Tensor) -> Tensor:
        observations, actions, z, time = inputs
        pair = torch.cat([observations, actions], -1).unsqueeze(1)
        histogram = gaussian_histogram(z, self.low, self.high, self.bins, self.sigma)
        each = pair.expand(-1, self.ensemble, -1, -1)
        return self.mlp(params, each, histogram, torch.cos(time)).unsqueeze(-1)


def flow_value(
    critic: Callable[..., Tensor],
    observations: Tensor,
    actions: Tensor,
    start: Tensor,
    flow_steps: int,
) -> Tensor:
    """Where z is at t = 1 in Euler steps from its start. [S, N, ·], [S, E, N, 1] -> the same."""

    def velocity(s: Tensor, z: Tensor, t: Tensor) -> Tensor:
        dz: Tensor = critic(s, actions, z, t)
        return dz

    return sample(velocity, observations, start, flow_steps)
