"""Mean flow: the velocity of a flow averaged over a stretch of its path (arXiv:2505.13447).

Shapes: `S` seeds, `B` batch. Time runs from 0, the action, to 1, noise: x_t = (1 − t) a + t e,
whose velocity is v = e − a. The average velocity u from 0 to t obeys u = v − t du/dt, where d/dt
follows the path: it adds v times the derivative in x to that in t.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Residual = Callable[[Tensor, Tensor, Tensor], Tensor]
"""g(s, x, t) = x − u(s, x, t): at t = 1, where the flow from noise x ends."""

_BOUND = 5.0  # of what g regresses on
_OFFSET = 1e-4  # c of the weights
_WEIGHTS = (1e-6, 1e6)  # the smallest and the largest


def mean_flow_target(
    residual: Residual, observations: Tensor, x: Tensor, velocity: Tensor, time: Tensor
) -> tuple[Tensor, Tensor]:
    """g and what the identity says that it is: x − (1 − t) v − t dg/dt, without gradient.

    One forward-mode derivative gives both (arXiv:2511.13035, Eq. 12).
    observations [S, B, obs_dim], x and velocity [S, B, action_dim], time [S, B, 1] -> like x.
    """
    g, rate = torch.func.jvp(
        lambda x, time: residual(observations, x, time),
        (x, time),
        (velocity, torch.ones_like(time)),
    )[:2]
    return g, (x - (1 - time) * velocity - time * rate).detach()


def mean_flow_loss(
    residual: Residual,
    observations: Tensor,
    actions: Tensor,
    noise: Tensor,
    time: Tensor,
    power: float,
) -> Tensor:
    """E δ² / (δ² + c)^power, δ² the mean squared error of g, no gradient through the weight.

    observations [S, B, obs_dim], actions and noise [S, B, action_dim], time [S, B, 1] -> [S].
    """
    x = (1 - time) * actions + time * noise
    g, target = mean_flow_target(residual, observations, x, noise - actions, time)
    error = (g - target.clamp(-_BOUND, _BOUND)).square().mean(-1)
    weight = (error.detach() + _OFFSET) ** -power
    return (weight.clamp(*_WEIGHTS) * error).mean(-1)
