"""Adam for stacked networks. Shapes: parameters `[S, ...]`, one learner per seed."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from algorithms.base import Adam
from algorithms.networks import Params

_EPSILON = 1e-8


def adam_step(
    adam: Adam,
    params: Params,
    gradients: Params,
    means: Params,
    squares: Params,
    coefficients: Tensor,
) -> None:
    """Move `params` and the moments in place. coefficients: [3], of `adam_coefficients`."""
    if adam.max_grad_norm is not None:
        gradients = _clipped(gradients, adam.max_grad_norm)
    step_size, square_correction, decay = coefficients.unbind()
    beta1, beta2 = adam.betas
    for key, gradient in gradients.items():
        mean, square = means[key], squares[key]
        mean.lerp_(gradient, 1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        if adam.weight_decay and key.startswith(adam.decayed):
            params[key].mul_(1 - decay)
        params[key].sub_(step_size * mean / ((square * square_correction).sqrt() + _EPSILON))


def adam_coefficients(
    adams: Mapping[str, Adam], counts: Mapping[str, int], totals: Mapping[str, int]
) -> list[tuple[float, float, float]]:
    """Learning rate / (1 − β1^t), 1 / (1 − β2^t) and decay of every network's update `t`.

    counts: the updates so far, this one included. totals: those of the whole budget.
    """
    rows = []
    for name, adam in adams.items():
        t = max(1, counts[name])
        rate = adam.learning_rate
        beta1, beta2 = adam.betas
        if adam.warmup:
            rate *= min(1.0, t / adam.warmup)
        if adam.cosine_decay:
            annealed = 0.5 * (1 + math.cos(math.pi * (t - 1) / totals[name]))
            rate *= max(adam.floor, annealed)
        rows.append((rate / (1 - beta1**t), 1 / (1 - beta2**t), rate * adam.weight_decay))
    return rows


def _clipped(gradients: Params, max_norm: float) -> Params:
    """Each seed's gradient of one network, shrunk to a norm of at most `max_norm`."""
    squares = [g.square().flatten(1).sum(1) for g in gradients.values()]
    # Not of a stack: Inductor (torch 2.13, CPU) fails to compile one of more than a few tensors.
    norm = functools.reduce(torch.add, squares).sqrt()  # [S]
    shrink = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    return {k: g * shrink.view(-1, *[1] * (g.ndim - 1)) for k, g in gradients.items()}
