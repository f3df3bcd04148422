"""Minibatch optimal-transport coupling of noise and data for flow matching."""

from __future__ import annotations

import torch
from torch import Tensor

_ITERATIONS = 20
_ENTROPY = 0.05  # of the plan, in units of the mean cost


def transport_noise(
    observations: Tensor, actions: Tensor, x0: Tensor, uniform: Tensor, state_weight: float
) -> Tensor:
    """Noise for each pair (s_j, a_j), drawn from the batch's x_0 by an entropic transport plan.

    The cost |x_0i − a_j|²/d + w |s_i − s_j|²/d_s keeps noise near the state it was drawn for
    (Kerrigan et al. 2404.04240): without the second term noise would depend on the state, and
    sampling from N(0, I) would no longer match. Tong et al. 2302.00482 for the unconditional case.

    observations [S, B, obs_dim], actions and x0 [S, B, d], uniform [S, B, 1] -> [S, B, d].
    """
    with torch.no_grad():
        cost = _distances(x0, actions) + state_weight * _distances(observations, observations)
        logits = -cost / (_ENTROPY * cost.mean((1, 2), keepdim=True))
        for _ in range(_ITERATIONS):  # Sinkhorn: rows, then columns, sum to one
            logits = logits - logits.logsumexp(2, keepdim=True)
            logits = logits - logits.logsumexp(1, keepdim=True)
        cumulative = logits.exp().transpose(1, 2).cumsum(2)  # over the noise i, for each pair j
        chosen = (cumulative < uniform * cumulative[..., -1:]).sum(2, keepdim=True)
        return x0.gather(1, chosen.clamp(max=x0.shape[1] - 1).expand_as(x0))


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of every pair. [S, B, d] each -> [S, B, B]."""
    return torch.cdist(a, b).square() / a.shape[-1]
