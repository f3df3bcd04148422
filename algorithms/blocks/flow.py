"""Flow matching and its ODE. Shapes: `S` seeds, `B` batch, `K` flow steps.

A velocity network is called as `velocity(observations, x, t)` with `x` `[S, B, action_dim]` and
`t` `[S, B, 1]`; t = 0 is noise, t = 1 the action. A probability path joins them:
x_t = σ(t) x_0 + α(t) a, of which flow matching learns the mean velocity σ'(t) x_0 + α'(t) a.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from algorithms.networks import MLP

Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]
PathName = Literal["linear", "cosine", "spline"]
Solver = Literal["euler", "midpoint"]


def velocity_network(obs_dim: int, action_dim: int, hidden_dims: tuple[int, ...]) -> MLP:
    """u(s, x, t): the time enters as one more input, as in FQL."""
    return MLP(obs_dim + action_dim + 1, action_dim, hidden_dims, activation="gelu")


def path_point(path: PathName, x0: Tensor, actions: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
    """x_t and its velocity on the path from x0 to the actions. [S, B, ·], time [S, B, 1].

    linear: (1 − t, t), Lipman et al. 2210.02747. cosine: (cos πt/2, sin πt/2), variance preserving,
    Albergo et al. 2303.08797. spline: the cubic with zero speed at both ends, α = 3t² − 2t³.
    """
    if path == "linear":
        return (1 - time) * x0 + time * actions, actions - x0
    if path == "cosine":
        sigma, alpha = torch.cos(time * math.pi / 2), torch.sin(time * math.pi / 2)
        return sigma * x0 + alpha * actions, math.pi / 2 * (sigma * actions - alpha * x0)
    alpha = time * time * (3 - 2 * time)
    return (1 - alpha) * x0 + alpha * actions, 6 * time * (1 - time) * (actions - x0)


def flow_matching_loss(
    velocity: Velocity,
    observations: Tensor,
    actions: Tensor,
    x0: Tensor,
    time: Tensor,
    path: PathName = "linear",
) -> Tensor:
    """E |u(s, x_t, t) − ẋ_t|² (Lipman et al. 2210.02747, Eq. 23).

    observations [S, B, obs_dim], actions and x0 [S, B, action_dim], time [S, B, 1] -> [S].
    """
    x, rate = path_point(path, x0, actions, time)
    return (velocity(observations, x, time) - rate).square().mean((1, 2))


class Rollout(NamedTuple):
    """A flow integrated in K steps; step k goes from points[k] to points[k + 1].

    The velocity of step k is the network's at (queries[k], query_times[k]): for Euler that is the
    step's beginning, for the midpoint method half-way along an Euler step.
    """

    points: Tensor  # [K + 1, S, B, action_dim]
    queries: Tensor  # [K, S, B, action_dim]
    query_times: Tensor  # [K, S, B, 1]


def roll_out(
    velocity: Velocity,
    observations: Tensor,
    x0: Tensor,
    flow_steps: int,
    solver: Solver = "euler",
) -> Rollout:
    """Integrate from x0, keeping every point. x0: [S, B, action_dim]."""
    h, x = 1 / flow_steps, x0
    points, queries, times = [], [], []
    for k in range(flow_steps):
        points.append(x)
        time, query = torch.full_like(x[..., :1], k * h), x
        if solver == "midpoint":
            query = x + h / 2 * velocity(observations, x, time)
            time = time + h / 2
        x = x + h * velocity(observations, query, time)
        queries.append(query)
        times.append(time)
    points.append(x)
    return Rollout(torch.stack(points), torch.stack(queries), torch.stack(times))


def sample(velocity: Velocity, observations: Tensor, x0: Tensor, flow_steps: int) -> Tensor:
    """The action at the end of the flow, unclipped. [S, B, action_dim] -> the same."""
    return roll_out(velocity, observations, x0, flow_steps).points[-1]


def complete(
    velocity: Velocity, observations: Tensor, x: Tensor, time: Tensor, flow_steps: int
) -> Tensor:
    """The action that the flow makes of x at a time of its own, in steps of at most 1 / flow_steps.

    x [S, B, action_dim], time [S, B, 1] -> unclipped, like x.
    """
    for _ in range(flow_steps):
        h = (1 - time).clamp(0, 1 / flow_steps)
        x = x + h * velocity(observations, x, time)
        time = time + h
    return x
