"""Flow matching and its ODE. Shapes: `S` seeds, `B` batch, `K` flow steps.

A velocity network is called as `velocity(observations, x, t)` with `x` `[S, B, action_dim]` and
`t` `[S, B, 1]`; t = 0 is noise, t = 1 the action. Linear path: x_t = (1 − t) x_0 + t a.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from algorithms.networks import MLP

Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]


def velocity_network(obs_dim: int, action_dim: int, hidden_dims: tuple[int, ...]) -> MLP:
    """u(s, x, t): the time enters as one more input, as in FQL."""
    return MLP(obs_dim + action_dim + 1, action_dim, hidden_dims, activation="gelu")


def flow_matching_loss(
    velocity: Velocity, observations: Tensor, actions: Tensor, x0: Tensor, time: Tensor
) -> Tensor:
    """E |u(s, x_t, t) − (a − x_0)|² on the linear path (Lipman et al. 2210.02747, Eq. 23).

    observations [S, B, obs_dim], actions and x0 [S, B, action_dim], time [S, B, 1] -> [S].
    """
    x = (1 - time) * x0 + time * actions
    return (velocity(observations, x, time) - (actions - x0)).square().mean((1, 2))


def euler_path(velocity: Velocity, observations: Tensor, x0: Tensor, flow_steps: int) -> Tensor:
    """Every point x_0 … x_K of Euler's method. [S, B, action_dim] -> [K + 1, S, B, action_dim]."""
    x, path = x0, [x0]
    for k in range(flow_steps):
        time = torch.full_like(x[..., :1], k / flow_steps)
        x = x + velocity(observations, x, time) / flow_steps
        path.append(x)
    return torch.stack(path)


def euler_sample(velocity: Velocity, observations: Tensor, x0: Tensor, flow_steps: int) -> Tensor:
    """The action at the end of the flow, unclipped. [S, B, action_dim] -> the same."""
    return euler_path(velocity, observations, x0, flow_steps)[-1]
