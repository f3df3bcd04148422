"""What the tests of in-sample methods compare with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from algorithms.engine.engine import Engine
from algorithms.networks import MLP
from tests.algorithms.reference import members
from tests.algorithms.small import ACTION_DIM, OBS_DIM


class Actor(nn.Module):
    """The policy of the seed in `slot`: a tanh bounds its mean, and σ is the same everywhere."""

    def __init__(self, engine: Engine, slot: int) -> None:
        super().__init__()
        state, prefix = engine.state(slot), "params/actor/"
        params = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        (self.mean,) = members(MLP(OBS_DIM, ACTION_DIM, (16, 16)), params)
        self.log_std = nn.Parameter(torch.tensor(params["log_std"][0, 0]))

    def forward(self, observations: Tensor) -> Independent:
        deviation = self.log_std.clip(-5, 2).exp().expand(len(observations), -1)
        return Independent(Normal(torch.tanh(self.mean(observations)), deviation), 1)
