"""Diffusion in continuous time: the variance-preserving SDE, and DPM-Solver along its ODE.

Shapes: `S` seeds, `B` batch. x_t = α_t a + σ_t ε, with t from 0, the action, to 1, almost pure
noise; the rate of the noise grows linearly (Song et al., arXiv:2011.13456, Appendix C). A network
that predicts ε is called as `epsilon(observations, x, t)` with `x` `[S, B, action_dim]` and `t`
`[S, B, 1]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Epsilon = Callable[[Tensor, Tensor, Tensor], Tensor]

FIRST_TIME = 1e-3  # the earliest time that is trained and sampled, as σ vanishes at 0
_BETA_MIN, _BETA_MAX = 0.1, 20.0  # rate of the added noise at t = 0 and t = 1

Time = TypeVar("Time", float, Tensor)


def log_alpha(time: Time) -> Time:
    """log α_t: minus half the integral of the noise's rate."""
    return -0.5 * time * (_BETA_MIN + 0.5 * (_BETA_MAX - _BETA_MIN) * time)


def noise_level(time: Tensor) -> Tensor:
    """σ_t = √(1 − α_t²), element-wise."""
    return (-torch.expm1(2 * log_alpha(time))).sqrt()


def perturb(actions: Tensor, noise: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """x_t and t, uniform over [0.001, 1].

    actions and noise [S, B, action_dim], uniform [S, B, 1] -> [S, B, action_dim], [S, B, 1].
    """
    time = FIRST_TIME + (1 - FIRST_TIME) * uniform
    return log_alpha(time).exp() * actions + noise_level(time) * noise, time


def denoising_loss(
    epsilon: Epsilon, observations: Tensor, actions: Tensor, noise: Tensor, uniform: Tensor
) -> Tensor:
    """E |ε(s, x_t, t) − ε|², summed over the action (Song et al., Eq. 7, weighted by σ_t²).

    observations [S, B, obs_dim], actions and noise [S, B, action_dim], uniform [S, B, 1] -> [S].
    """
    x, time = perturb(actions, noise, uniform)
    return (epsilon(observations, x, time) - noise).square().sum(-1).mean(-1)


def predicted_action(x: Tensor, predicted: Tensor, time: Tensor) -> Tensor:
    """The action of which x_t is left by the predicted noise, unclipped. -> [S, B, action_dim]."""
    return (x - noise_level(time) * predicted) / log_alpha(time).exp()


def sample(
    epsilon: Epsilon,
    observations: Tensor,
    noise: Tensor,
    evaluations: int,
    *,
    bounded: bool = False,
) -> Tensor:
    """Actions at the end of the ODE. noise: [S, B, action_dim] -> the same.

    DPM-Solver-2 on predicted actions (Lu et al., arXiv:2211.01095, Algorithm 1, whose evaluations
    are a step of uniform time apart), and DPM-Solver-1 for the last one or two of the evaluations.
    bounded: keep each predicted action in [-1, 1], and with them nearly the result.
    """
    times = [1 - (1 - FIRST_TIME) * i / evaluations for i in range(evaluations + 1)]

    def predict(x: Tensor, moment: float) -> Tensor:
        time = torch.full_like(x[..., :1], moment)
        action = predicted_action(x, epsilon(observations, x, time), time)
        return action.clamp(-1, 1) if bounded else action

    x, pairs = noise, (evaluations - 1) // 2
    for i in range(0, 2 * pairs, 2):
        begin, middle, end = times[i : i + 3]
        action = predict(x, begin)
        later = predict(_step(x, action, begin, middle), middle)
        part = (_half_log_snr(middle) - _half_log_snr(begin)) / (
            _half_log_snr(end) - _half_log_snr(begin)
        )
        x = _step(x, action + (later - action) / (2 * part), begin, end)
    for begin, end in zip(times[2 * pairs : -1], times[2 * pairs + 1 :], strict=True):
        x = _step(x, predict(x, begin), begin, end)
    return x


def _step(x: Tensor, action: Tensor, begin: float, end: float) -> Tensor:
    """Where the ODE leads in that time, if the predicted action stays what it is."""
    (alpha, sigma), (next_alpha, next_sigma) = _marginal(begin), _marginal(end)
    kept = next_sigma / sigma
    return kept * x + (next_alpha - kept * alpha) * action


def _marginal(time: float) -> tuple[float, float]:
    """α_t and σ_t."""
    log = log_alpha(time)
    return math.exp(log), math.sqrt(-math.expm1(2 * log))


def _half_log_snr(time: float) -> float:
    """λ_t = log(α_t / σ_t)."""
    alpha, sigma = _marginal(time)
    return math.log(alpha / sigma)
