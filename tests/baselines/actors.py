"""Stochastic policies of plain `torch.nn` modules, with the weights of an engine's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution

from algorithms.engine.engine import Engine
from algorithms.networks import MLP
from tests.algorithms.reference import members, params_of
from tests.algorithms.small import ACTION_DIM, OBS_DIM


class Gaussian(nn.Module):
    """The policy of the seed in `slot`: a tanh bounds its mean, and σ is the same everywhere."""

    def __init__(self, engine: Engine, slot: int, lowest: float = -5.0) -> None:
        super().__init__()
        params = params_of(engine, "actor", slot)
        (self.mean,) = members(MLP(OBS_DIM, ACTION_DIM, (16, 16)), params)
        self.log_std = nn.Parameter(torch.tensor(params["log_std"][0, 0]))
        self.lowest = lowest

    def forward(self, observations: Tensor) -> Independent:
        deviation = self.log_std.clip(self.lowest, 2).exp().expand(len(observations), -1)
        return Independent(Normal(torch.tanh(self.mean(observations)), deviation), 1)


class Squashed(nn.Module):
    """The policy of the seed in `slot`, of which a tanh squashes what is sampled."""

    def __init__(self, engine: Engine, slot: int, lowest: float = -5.0) -> None:
        super().__init__()
        params = params_of(engine, "actor", slot)
        (self.mlp,) = members(MLP(OBS_DIM, 2 * ACTION_DIM, (16, 16)), params)
        self.lowest = lowest

    def forward(self, observations: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        mean, output = self.mlp(observations).split(ACTION_DIM, 1)
        normal = Normal(mean, self.deviation(output))
        squashed = TransformedDistribution(normal, TanhTransform(cache_size=1))
        action = squashed.transforms[0](mean + normal.scale * noise)
        return action, Independent(squashed, 1).log_prob(action)

    def deviation(self, output: Tensor) -> Tensor:
        """Of the network's output that is not the mean."""
        return output.clip(self.lowest, 2).exp()
