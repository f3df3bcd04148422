"""The Flow MDP of Decision Flow: decisions as a batch, and the returns of flow rewards.

Shapes: `T` flow steps, `S` seeds, `B` states; the T decisions of B states form a batch of T * B.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from algorithms.base import Batch
from algorithms.blocks.flow import Rollout


class Decisions(NamedTuple):
    """The T flow decisions of B states as one batch `[S, T * B, ·]`, flow step by flow step."""

    states: Tensor
    flow_states: Tensor  # what the flow critic sees of the state: with a_{n-1} if asked for
    points: Tensor  # x_k
    times: Tensor  # t_k
    queries: Tensor  # where the solver asks for the velocity, and when: (x_k, t_k) for Euler
    query_times: Tensor


def decisions_of(batch: Batch, rolled: Rollout, *, previous_action: bool) -> Decisions:
    """The T decisions of every roll-out; `previous_action` puts a_{n-1} into the flow states."""
    steps, count = len(rolled.queries), batch.rewards.shape[1]
    step = torch.arange(steps, device=batch.rewards.device).repeat_interleave(count)
    states = batch.observations.repeat(1, steps, 1)
    flow_states = states
    if previous_action:
        flow_states = torch.cat([states, batch.previous_actions.repeat(1, steps, 1)], -1)
    return Decisions(
        states=states,
        flow_states=flow_states,
        points=steps_to_batch(rolled.points[:-1]),
        times=step.view(1, -1, 1).expand(len(batch.rewards), -1, -1) / steps,
        queries=steps_to_batch(rolled.queries),
        query_times=steps_to_batch(rolled.query_times),
    )


def flow_returns(
    rewards: Tensor, final_value: Tensor, values: Tensor | None, trace: float
) -> Tensor:
    """TD(λ) returns y_k = r_k + (1 − λ) V_{k+1} + λ y_{k+1}, ending in the final value.

    rewards and values (unused, and None, at λ = 1) [T, S, B], final_value [S, B] -> [T, S, B].
    """
    to_go, returns = final_value, []
    for k in reversed(range(len(rewards))):
        if values is not None and k < len(rewards) - 1:
            to_go = (1 - trace) * values[k + 1] + trace * to_go
        to_go = rewards[k] + to_go
        returns.append(to_go)
    return torch.stack(returns[::-1])


def gradient_metrics(gradient: Tensor, velocity: Tensor, flow_steps: int) -> dict[str, Tensor]:
    """How steep the value is, and how far the velocity follows it. [S, T * B, ·] -> [S] each."""
    # The seed axis stays first: a sum across it would round by how many seeds are stacked.
    by_step = gradient.reshape(len(gradient), flow_steps, -1, gradient.shape[-1])
    norm = by_step.norm(dim=-1)
    deviation = by_step - by_step.mean(2, keepdim=True)
    return {
        "policy/gradient_norm": norm.mean((1, 2)),
        "policy/q_gradient_norm": norm[:, -1].mean(-1),
        "policy/direction_cosine": (unit(gradient) * unit(velocity)).sum(-1).mean(-1),
        "policy/gradient_variance": deviation.square().sum(-1).mean((1, 2)),
    }


def with_gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> tuple[Tensor, Tensor]:
    """Values, each of its own point, and their gradients. [S, B, D] -> [S, B], fixed [S, B, D]."""
    values, pullback = torch.func.vjp(function, at)[:2]
    (gradient,) = pullback(torch.ones_like(values))
    return values, gradient.detach()


def unit(x: Tensor) -> Tensor:
    """x/|x| along the last axis; zero stays zero."""
    result: Tensor = x / (x.norm(dim=-1, keepdim=True) + 1e-8)
    return result


def steps_to_batch(x: Tensor) -> Tensor:
    """[T, S, B, ...] -> [S, T * B, ...], flow step by flow step."""
    return x.movedim(0, 1).flatten(1, 2)


def batch_to_steps(x: Tensor, flow_steps: int) -> Tensor:
    """[S, T * B, ...] -> [T, S, B, ...], the inverse."""
    return x.reshape(len(x), flow_steps, -1, *x.shape[2:]).movedim(1, 0)
