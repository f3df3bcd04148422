"""A diffusion transformer of a single token, which the time modulates.

Peebles and Xie, arXiv:2212.09748, as MeanFlowQL's policy has it. Attention of one token to itself
is a linear layer of values and one behind it, whatever its queries, keys and heads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from algorithms.networks import Params, gelu, linear

_FEATURES = 256  # of the time
_LONGEST = 10_000.0  # period of the features
_WIDER = 4  # hidden units of a block's MLP, in units of its width
_SHARE = 0.1  # of what a block makes of its input that is added to it
_SPREAD = 0.1  # of initial weights, in units of 1/√fan_in
_EPSILON = 1e-6


@dataclass(frozen=True)
class OneTokenTransformer:
    """Linear, `blocks` times x + 0.1 block(x), a modulated norm, linear: 0 at first.

    Called with inputs `[S, B, *]`, which are concatenated along the last axis, and after them a
    time `[S, B, 1]`, it returns `[S, B, output_dim]`. Each half of a block, attention and MLP, sees
    norm(x) (1 + scale) + shift and adds what it returns times a gate; scales, shifts and gates are
    linear in the embedded time, and 0 at first. The norm is g √width x / rms(x).
    """

    input_dim: int
    output_dim: int
    width: int
    blocks: int

    def init(self, generator: torch.Generator) -> Params:
        width = self.width
        fans = {"in": (self.input_dim, width), "time_0": (_FEATURES, width)}
        fans |= {"time_1": (width, width), "modulate_out": (width, 2 * width)}
        params: Params = {"scale_out": torch.ones(1, 1, width)}
        for i in range(self.blocks):
            fans[f"modulate_{i}"] = (width, 6 * width)
            fans[f"value_{i}"] = fans[f"mixed_{i}"] = (width, width)
            fans[f"wide_{i}"] = (width, _WIDER * width)
            fans[f"narrow_{i}"] = (_WIDER * width, width)
            params[f"scale_attention_{i}"] = torch.ones(1, 1, width)
            params[f"scale_mlp_{i}"] = torch.ones(1, 1, width)
        fans["out"] = (width, self.output_dim)
        for name, (fan_in, fan_out) in fans.items():
            weight = torch.zeros(1, fan_in, fan_out)
            if name != "out" and not name.startswith("modulate"):
                weight.normal_(0, _SPREAD / math.sqrt(fan_in), generator=generator)
            params[f"weight_{name}"] = weight
            params[f"bias_{name}"] = torch.zeros(1, 1, fan_out)
        return params

    def __call__(self, params: Params, *inputs: Tensor) -> Tensor:
        *features, time = inputs
        x = linear(params, "in", torch.cat(features, -1))
        embedded = F.silu(linear(params, "time_0", time_features(time)))
        condition = F.silu(linear(params, "time_1", embedded))
        for i in range(self.blocks):
            x = x + _SHARE * self._block(params, i, x, condition)
        shift, scale = linear(params, "modulate_out", condition).chunk(2, -1)
        return linear(params, "out", _norm(params, "out", x) * (1 + scale) + shift)

    def _block(self, params: Params, i: int, x: Tensor, condition: Tensor) -> Tensor:
        """What a block adds, before it is scaled. [S, B, width], [S, B, width] -> the first."""
        modulation = linear(params, f"modulate_{i}", condition).chunk(6, -1)
        shift, scale, gate = modulation[:3]
        seen = _norm(params, f"attention_{i}", x) * (1 + scale) + shift
        attended = gate * linear(params, f"mixed_{i}", linear(params, f"value_{i}", seen))
        shift, scale, gate = modulation[3:]
        seen = _norm(params, f"mlp_{i}", x + attended) * (1 + scale) + shift
        hidden = gelu(linear(params, f"wide_{i}", seen))
        return attended + gate * linear(params, f"narrow_{i}", hidden)


def time_features(time: Tensor) -> Tensor:
    """Cosines and sines of the time, of periods from 2π to 2π · 10⁴. [S, B, 1] -> [S, B, 256]."""
    half = _FEATURES // 2
    ranks = torch.arange(half, device=time.device) / half
    angles = time * torch.exp(-math.log(_LONGEST) * ranks)
    return torch.cat([angles.cos(), angles.sin()], -1)


def _norm(params: Params, name: str, x: Tensor) -> Tensor:
    """Root-mean-square norm, times √width as well. [S, B, width] -> the same."""
    factor = math.sqrt(x.shape[-1]) * params[f"scale_{name}"].flatten(0, 1)
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + _EPSILON) * factor
