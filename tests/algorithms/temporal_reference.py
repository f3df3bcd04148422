"""Diffuser's networks, schedule and their parts in plain PyTorch, for one seed.

Parameters are `[inputs, outputs]` each, without the axes of seeds and members; plans `[B, L, D]`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

Weights = Mapping[str, Tensor]


def signals(steps: int) -> list[float]:
    """ᾱ_1 to ᾱ_K as the official code has them: a product of clipped 1 − β."""
    x = np.linspace(0, steps + 1, steps + 1)
    curve = np.cos(((x / (steps + 1)) + 0.008) / 1.008 * np.pi / 2) ** 2
    betas = np.clip(1 - curve[1:] / curve[:-1], 0, 0.999)
    found: list[float] = np.cumprod(1 - betas).tolist()
    return found


def layer(p: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, p[f"weight_{name}"].T, p[f"bias_{name}"][0])


def mlp(p: Weights, prefix: str, layers: int, x: Tensor) -> Tensor:
    """With Mish between its layers."""
    for i in range(layers):
        x = F.linear(x, p[f"{prefix}weight_{i}"].T, p[f"{prefix}bias_{i}"][0])
        x = F.mish(x) if i < layers - 1 else x
    return x


def embedded(p: Weights, steps: Tensor, width: int) -> Tensor:
    """Of diffusion steps that count from 1. [B, 1] -> [B, width]."""
    rates = torch.exp(torch.arange(width // 2) * -(math.log(10_000) / (width // 2 - 1)))
    angles = (steps - 1) * rates
    return mlp(p, "step_", 2, torch.cat([angles.sin(), angles.cos()], -1))


def conv(p: Weights, name: str, x: Tensor, kernel: int, stride: int = 1) -> Tensor:
    weight = p[f"weight_{name}"].T
    weight = weight.reshape(len(weight), x.shape[1], kernel)
    return F.conv1d(x, weight, p[f"bias_{name}"][0], stride, padding=kernel // 2)


def transposed(p: Weights, name: str, x: Tensor) -> Tensor:
    """Its taps are kept in the order 1, 3, 0, 2: of even steps, then of odd ones."""
    taps = p[f"weight_{name}"].reshape(4, x.shape[1], -1)
    weight = torch.stack([taps[2], taps[0], taps[3], taps[1]], -1)
    return F.conv_transpose1d(x, weight, p[f"bias_{name}"][0], stride=2, padding=1)


def conv_block(p: Weights, name: str, x: Tensor, groups: int) -> Tensor:
    x = conv(p, name, x, 5)
    return F.mish(F.group_norm(x, groups, p[f"scale_{name}"][0], p[f"shift_{name}"][0]))


def block(p: Weights, name: str, x: Tensor, t: Tensor, groups: int = 8) -> Tensor:
    y = conv_block(p, f"{name}_first", x, groups)
    y = y + layer(p, f"{name}_embedding", F.mish(t))[..., None]
    y = conv_block(p, f"{name}_second", y, groups)
    skip = f"{name}_skip"
    return y + (conv(p, skip, x, 1) if f"weight_{skip}" in p else x)


def unet(p: Weights, plans: Tensor, steps: Tensor, *more: Tensor) -> Tensor:
    """Of two resolutions, 32 channels or more."""
    t = torch.cat([embedded(p, steps, p["step_weight_0"].shape[0]), *more], -1)
    fine = block(p, "down_0_1", block(p, "down_0_0", plans.mT, t), t)
    x = conv(p, "coarser_0", fine, 3, 2)
    coarse = block(p, "down_1_1", block(p, "down_1_0", x, t), t)
    x = block(p, "middle_0_1", block(p, "middle_0_0", coarse, t), t)
    x = block(p, "up_0_1", block(p, "up_0_0", torch.cat([x, coarse], 1), t), t)
    x = transposed(p, "finer_0", x)
    return conv(p, "out", conv_block(p, "last", x, 8), 1).mT


def value(p: Weights, plans: Tensor, steps: Tensor) -> Tensor:
    """Of two resolutions, the last of 128 channels. -> [B]."""
    t = embedded(p, steps, p["step_weight_0"].shape[0])
    x = plans.mT
    for i in (0, 1):
        x = conv(p, f"coarser_{i}", block(p, f"down_{i}_1", block(p, f"down_{i}_0", x, t), t), 3, 2)
    for i in (0, 1):
        x = conv(p, f"middle_coarser_{i}", block(p, f"middle_0_{i}", x, t), 3, 2)
    return mlp(p, "head_", 2, torch.cat([x.mT.flatten(1), t], -1))[:, 0]


def assert_same_change(found: Weights, expected: Weights, start: Weights) -> None:
    """All in all within a hundredth of each parameter's change.

    Not number by number: Adam makes whole steps of gradients that are nothing but rounding.
    """
    for name, before in start.items():
        after = expected[name].detach()
        share = (found[name] - after).norm() / (after - before).norm()
        torch.testing.assert_close(share, torch.zeros(()), rtol=0, atol=0.01, msg=name)
