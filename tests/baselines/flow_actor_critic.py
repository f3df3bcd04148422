"""Actor-critics of a flow policy in plain PyTorch: what their tests have in common."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from algorithms.base import Batch
from tests.algorithms.reference import q_values

GAMMA = 0.9


def integrate(flow: nn.Module, s: Tensor, x: Tensor, steps: int) -> Tensor:
    """The flow's clipped action by Euler steps. s: [B, obs_dim], x: [B, action_dim]."""
    for k in range(steps):
        x = x + flow(torch.cat([s, x, torch.full((len(s), 1), k / steps)], 1)) / steps
    return x.clip(-1, 1)


def flow_errors(flow: nn.Module, batch: Batch, noise: Mapping[str, Tensor]) -> Tensor:
    """Flow matching's squared errors on one seed's batch. -> [B, action_dim]."""
    t, x0, a = noise["time"], noise["x0"], batch.actions
    velocity = flow(torch.cat([batch.observations, (1 - t) * x0 + t * a, t], 1))
    return (velocity - (a - x0)) ** 2


def td_loss(
    critic: nn.ModuleList,
    target: nn.ModuleList,
    flow: nn.Module,
    batch: Batch,
    noise: Mapping[str, Tensor],
    *,
    steps: int,
    aggregation: str,
) -> Tensor:
    """Both twins' error about r + γ Q̄(s', a'), a' from the flow, γ = `GAMMA`."""
    with torch.no_grad():
        following = batch.next_observations
        q = q_values(target, following, integrate(flow, following, noise["next_z"], steps))
        q_next = q.min(0).values if aggregation == "min" else q.mean(0)
        backup = batch.rewards + GAMMA * batch.masks * q_next
    return ((q_values(critic, batch.observations, batch.actions) - backup) ** 2).mean()
