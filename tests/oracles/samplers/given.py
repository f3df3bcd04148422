"""What a library's sampler and ours have in common. Needs torch alone."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

FOLDER = Path(__file__).parent


def field(x: Tensor, time: Tensor | float) -> Tensor:
    """A curved function of x and time: the noise, action or velocity that a network would tell."""
    return torch.tanh(2 * x) + time * torch.sin(3 * x) / 2
