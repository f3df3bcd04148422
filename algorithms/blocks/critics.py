"""Critics that several methods share. Shapes: `S` seeds, `E` ensemble members, `B` batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from algorithms.base import Batch, Networks

Pessimism = Callable[[Tensor], Tensor]
"""What an ensemble is taken to say: [S, E, B] -> [S, B]."""


def expectile_loss(difference: Tensor, expectile: float) -> Tensor:
    """Asymmetric squared error L₂^τ(u) = |τ − 1(u < 0)| u² (IQL Eq. 5), element-wise."""
    weight = (difference > 0).float() * (2 * expectile - 1) + (1 - expectile)
    return weight * difference.square()


def mean_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Error of every ensemble member, averaged over the batch. [S, E, B], [S, B] -> [S]."""
    return (prediction - target.unsqueeze(1)).square().mean(-1).sum(1)


def minimum(q: Tensor) -> Tensor:
    """What the most pessimistic member says. [S, E, B] -> [S, B]."""
    return q.amin(1)


def soft_minimum(q: Tensor, weight: float) -> Tensor:
    """λ min_i Q_i + (1 − λ) max_i Q_i, λ = weight (BCQ, arXiv:1812.02900). [S, E, B] -> [S, B]."""
    return weight * q.amin(1) + (1 - weight) * q.amax(1)


def lower_confidence_bound(q: Tensor, width: float) -> Tensor:
    """Mean less `width` standard deviations of the ensemble. [S, E, B] -> [S, B]."""
    # Clamped, because where all members agree the root has no slope.
    deviation = q.var(1, correction=0).clamp(min=1e-12).sqrt()
    return q.mean(1) - width * deviation


class DataValues(NamedTuple):
    """What the critics say of the data: Q_i(s, a) [S, E, B] and V(s) [S, B]."""

    q: Tensor
    value: Tensor


def data_values(nets: Networks, batch: Batch) -> DataValues:
    """Q and V of a batch, evaluated once for all that asks for them."""
    return DataValues(
        nets.critic(batch.observations, batch.actions), nets.value(batch.observations)
    )


def iql_critic_loss(
    nets: Networks,
    batch: Batch,
    data: DataValues | None = None,
    *,
    discount: float,
    expectile: float,
    pessimistic: Pessimism = minimum,
    next_value: Tensor | None = None,
) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """IQL's losses of `value` (Eq. 5) and twin `critic` (Eq. 6), in one sum.

    V regresses, by expectile, on the smaller target Q of the data's action, or on what
    `pessimistic` makes of the targets; Q regresses on r + γ V(s') with the V from before this
    update. Returns loss [S], metrics, and the advantage of the data's actions, target Q − V,
    without gradient [S, B]. `data`: what `data_values` gives, where it is at hand already.
    `next_value`: what Q backs up in the place of V(s'), without gradient [S, B].
    """
    q, value = data or data_values(nets, batch)
    target_q = pessimistic(nets.target.critic(batch.observations, batch.actions))
    advantage = target_q - value
    value_loss = expectile_loss(advantage, expectile).mean(-1)

    if next_value is None:
        next_value = nets.frozen.value(batch.next_observations)
    backup = batch.rewards + discount * batch.masks * next_value
    critic_loss = mean_squared_error(q, backup)
    metrics = {
        "value/loss": value_loss,
        "value/mean": value.mean(-1),
        "critic/loss": critic_loss,
        "critic/mean": q.mean((1, 2)),
    }
    return value_loss + critic_loss, metrics, advantage.detach()


def monte_carlo_critic_loss(
    nets: Networks, batch: Batch, expectile: float, pessimistic: Pessimism = minimum
) -> tuple[Tensor, dict[str, Tensor]]:
    """Q regresses on the data's returns, V on the target Q by expectile: IQL's start. -> [S]."""
    target_q = pessimistic(nets.target.critic(batch.observations, batch.actions))
    value = nets.value(batch.observations)
    value_loss = expectile_loss(target_q - value, expectile).mean(-1)
    q = nets.critic(batch.observations, batch.actions)
    critic_loss = mean_squared_error(q, batch.returns)
    return value_loss + critic_loss, {
        "value/loss": value_loss,
        "value/mean": value.mean(-1),
        "critic/loss": critic_loss,
    }


def advantage(
    nets: Networks, observations: Tensor, actions: Tensor, pessimistic: Pessimism = minimum
) -> Tensor:
    """min_i Q_i(s, a) − V(s), with the trained critics. [S, B, ·] -> [S, B]."""
    q = pessimistic(nets.frozen.critic(observations, actions))
    value: Tensor = nets.frozen.value(observations)
    return q - value


def scaled_advantage(
    nets: Networks,
    observations: Tensor,
    actions: Tensor,
    scale: Tensor,
    pessimistic: Pessimism = minimum,
) -> Tensor:
    """(min_i Q_i(s, clip a) − V(s)) / scale, with the trained critics. [S, B, ·], [S] -> [S, B]."""
    difference = advantage(nets, observations, actions.clamp(-1, 1), pessimistic)
    return difference / scale.unsqueeze(-1)


def advantage_scale(data: DataValues, pessimistic: Pessimism = minimum) -> Tensor:
    """κ: mean |min_i Q_i − V| on the data's actions. -> [S]."""
    return mean_size(pessimistic(data.q.detach()) - data.value.detach())


def mean_size(values: Tensor) -> Tensor:
    """The mean absolute value, never zero. [S, B] -> [S]."""
    return values.abs().mean(-1).clamp(min=1e-6)
