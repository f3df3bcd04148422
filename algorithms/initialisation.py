"""How the weights and biases of linear layers begin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True)
class Initialisation:
    """A rule for the layers of an MLP. By default PyTorch's: U(±1/√fan_in) for all of them.

    Attributes:
        weights: `uniform`: U(±1/√fan_in); `glorot`: U(±√(6 / (fan_in + fan_out))); `orthogonal`:
            orthogonal rows or columns.
        gain: factor on orthogonal weights.
        bias: what biases are at first; None: U(±1/√fan_in).
        last: of the last layer, the gain of orthogonal weights, else the bound u of weights and
            biases U(±u); None: as the others.
    """

    weights: Literal["uniform", "glorot", "orthogonal"] = "uniform"
    gain: float = 1.0
    bias: float | None = None
    last: float | None = None

    def layer(
        self, members: int, fan_in: int, fan_out: int, generator: torch.Generator, *, last: bool
    ) -> tuple[Tensor, Tensor]:
        """Weights `[members, fan_in, fan_out]` and biases `[members, 1, fan_out]`."""

        def uniform(rows: int, bound: float) -> Tensor:
            return (2 * torch.rand(members, rows, fan_out, generator=generator) - 1) * bound

        changed = self.last if last else None
        if self.weights == "orthogonal":
            gain = self.gain if changed is None else changed
            weight = gain * _orthogonal(members, fan_in, fan_out, generator)
        elif changed is not None:
            return uniform(fan_in, changed), uniform(1, changed)
        elif self.weights == "glorot":
            weight = uniform(fan_in, math.sqrt(6 / (fan_in + fan_out)))
        else:
            weight = uniform(fan_in, 1 / math.sqrt(fan_in))
        if self.bias is None:
            return weight, uniform(1, 1 / math.sqrt(fan_in))
        return weight, torch.full((members, 1, fan_out), self.bias)


PYTORCH = Initialisation()
GLOROT = Initialisation("glorot", bias=0.0)  # of Keras and softlearning
ORTHOGONAL = Initialisation("orthogonal", gain=math.sqrt(2), bias=0.0)  # of jaxrl


def _orthogonal(members: int, fan_in: int, fan_out: int, generator: torch.Generator) -> Tensor:
    """Uniform over the orthogonal group (Saxe et al., arXiv:1312.6120).

    In double precision, so that how a library splits the factorisation changes no float32 bit.
    """
    large, small = max(fan_in, fan_out), min(fan_in, fan_out)
    normal = torch.randn(members, large, small, generator=generator).double()
    q, r = torch.linalg.qr(normal)  # [members, large, small], [members, small, small]
    q = q * r.diagonal(dim1=1, dim2=2).sign().unsqueeze(1)
    weights: Tensor = q if fan_in >= fan_out else q.mT
    return weights.float().contiguous()
