"""Dropout whose masks are a function of a key, made where they are used.

Masks drawn outside the updates, like other noise, would be larger than all else that an update
reads. Here the engine draws one number per seed, `Key`, and the masks are hashed from it: they are
equal on every device, in eager and compiled code, and in any slot of the stack.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_BITS = 0xFFFFFFFF  # of 32
_SITE = 0x9E3779B9  # 2^32 over the golden ratio: keeps the keys of neighbouring sites apart


def dropout(x: Tensor, key: Tensor | None, site: int, rate: float) -> Tensor:
    """x with a share of its entries zeroed and the others scaled up; x itself without a key.

    x: [S, ...] of fewer than 2^32 entries per seed. key: int64 [S] in [0, 2^32), or None. site:
    tells the places of one network apart. rate: of the entries that are zeroed.
    """
    if key is None or rate == 0:
        return x
    index = torch.arange(math.prod(x.shape[1:]), device=x.device).view(1, *x.shape[1:])
    own = _mix((key + _SITE * (site + 1)) & _BITS).view(-1, *[1] * (x.ndim - 1))
    kept = _mix(own ^ index) >= int(rate * 2**32)
    return x * kept / (1 - rate)


def _mix(x: Tensor) -> Tensor:
    """A 32-bit hash, in int64: lowbias32 (C. Wellons, hash-prospector)."""
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & _BITS
    x = ((x ^ (x >> 15)) * 0x846CA68B) & _BITS  # wraps in 64 bits, of which the lower 32 count
    return x ^ (x >> 16)
