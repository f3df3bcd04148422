"""The squashed Gaussian policies of SAC and its kin, and the numbers they learn beside them.

Shapes: `S` seeds, `B` batch. Haarnoja et al., arXiv:1812.05905, appendix C.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from algorithms.initialisation import PYTORCH, Initialisation
from algorithms.networks import MLP, Params, gaussian_log_prob

_INSIDE = 1e-6  # how far from ±1 an action is kept when its density is asked for


@dataclass(frozen=True)
class SquashedGaussian:
    """A Gaussian whose tanh is the action: observations `[S, B, obs_dim]` to its parameters.

    Returns mean and log standard deviation before the tanh, each `[S, B, action_dim]`.
    """

    obs_dim: int
    action_dim: int
    hidden_dims: tuple[int, ...]
    log_std_range: tuple[float, float] = (-20.0, 2.0)
    initialisation: Initialisation = PYTORCH
    mlp: MLP = field(init=False)

    def __post_init__(self) -> None:
        # Built here, since a compiled update may read objects but not create them.
        mlp = MLP(
            self.obs_dim,
            2 * self.action_dim,
            self.hidden_dims,
            initialisation=self.initialisation,
        )
        object.__setattr__(self, "mlp", mlp)

    def init(self, generator: torch.Generator) -> Params:
        return self.mlp.init(generator)

    def __call__(self, params: Params, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.mlp(params, *inputs).chunk(2, -1)
        return mean, log_std.clamp(*self.log_std_range)


@dataclass(frozen=True)
class LogScalar:
    """The logarithm of a positive number that is learned: called with nothing, it returns `[S]`."""

    start: float = 0.0

    def init(self, generator: torch.Generator) -> Params:
        return {"log": torch.full((1,), self.start)}

    def __call__(self, params: Params, *inputs: Tensor) -> Tensor:
        return params["log"][:, 0]


def squashed_sample(mean: Tensor, log_std: Tensor, gaussian: Tensor) -> tuple[Tensor, Tensor]:
    """tanh of the Gaussian's sample at this noise, and the log density of that action (Eq. 26).

    [S, B, action_dim] each -> actions [S, B, action_dim], log densities [S, B].
    """
    before = mean + log_std.exp() * gaussian
    return torch.tanh(before), gaussian_log_prob(before, mean, log_std) - _log_slope(before)


def squashed_log_prob(actions: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log density of given actions, kept 1e-6 inside ±1. [S, B, action_dim] each -> [S, B]."""
    before = torch.atanh(actions.clamp(-1 + _INSIDE, 1 - _INSIDE))
    return gaussian_log_prob(before, mean, log_std) - _log_slope(before)


def _log_slope(before: Tensor) -> Tensor:
    """Σ log(1 − tanh² u), as 2 (log 2 − u − softplus(−2u)), which stays finite for large u."""
    return (2 * (math.log(2) - before - F.softplus(-2 * before))).sum(-1)
