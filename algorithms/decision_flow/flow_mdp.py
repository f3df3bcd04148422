"""The Flow MDP of Decision Flow: decisions as a batch, and the returns of flow rewards.

Shapes: `T` flow steps, `S` seeds, `B` states; the T decisions of B states form a batch of T * B.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from algorithms.blocks.flow import Rollout


class Decisions(NamedTuple):
    """The T flow decisions of B states as one batch `[S, T * B, ·]`, flow step by flow step."""

    states: Tensor
    flow_states: Tensor  # what the flow critic sees of the state
    points: Tensor  # x_k
    times: Tensor  # t_k
    queries: Tensor  # where the solver asks for the velocity, and when: (x_k, t_k) for Euler
    query_times: Tensor


def decisions_of(rolled: Rollout, states: Tensor, flow_states: Tensor) -> Decisions:
    """The T decisions of every roll-out, from the states [S, B, ·] that they were made in."""
    steps, (seeds, count) = len(rolled.queries), states.shape[:2]
    step = torch.arange(steps, device=states.device).repeat_interleave(count)
    return Decisions(
        states=states.repeat(1, steps, 1),
        flow_states=flow_states.repeat(1, steps, 1),
        points=steps_to_batch(rolled.points[:-1]),
        times=step.view(1, -1, 1).expand(seeds, -1, -1) / steps,
        queries=steps_to_batch(rolled.queries),
        query_times=steps_to_batch(rolled.query_times),
    )


def flow_returns(rewards: Tensor, final_value: Tensor) -> Tensor:
    """Monte-Carlo returns y_k = r_k + y_{k+1}, ending in the final value.

    rewards [T, S, B], final_value [S, B] -> [T, S, B].
    """
    to_go, returns = final_value, []
    for reward in reversed(rewards.unbind()):
        to_go = reward + to_go
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
