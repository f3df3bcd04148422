"""Convolutions over the steps of plans: Diffuser's temporal U-Net, and the value network like it.

Janner et al., Planning with Diffusion for Flexible Behavior Synthesis, arXiv:2205.09991, Figure A1.
Shapes: `S` seeds, `B` plans, `L` steps of a plan, `C` channels, last: a convolution is then a
product over unfolded steps, with the same bits for a seed beside any others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from algorithms.blocks.noise_networks import embed_step
from algorithms.initialisation import PYTORCH
from algorithms.networks import MLP, Params, bank, linear, mish, norm, part, prefixed, product

_KERNEL = 5  # steps that a convolution sees
_EPSILON = 1e-5  # of group norms


@dataclass(frozen=True)
class ResidualBlock:
    """Two convolutions with group norm and Mish, an embedding added between them.

    Called with `[S, B, L, inputs]` and an embedding `[S, B, embedding_dim]` -> `[S, B, L, width]`.
    """

    name: str
    inputs: int
    width: int
    embedding_dim: int

    def init(self, generator: torch.Generator) -> Params:
        params = _layer(f"{self.name}_first", _KERNEL * self.inputs, self.width, generator)
        params |= _layer(f"{self.name}_second", _KERNEL * self.width, self.width, generator)
        params |= _layer(f"{self.name}_embedding", self.embedding_dim, self.width, generator)
        params |= norm(f"{self.name}_first", self.width) | norm(f"{self.name}_second", self.width)
        if self.inputs != self.width:
            params |= _layer(f"{self.name}_skip", self.inputs, self.width, generator)
        return params

    def __call__(self, params: Params, x: Tensor, embedding: Tensor) -> Tensor:
        added = linear(params, f"{self.name}_embedding", mish(embedding)).unsqueeze(2)
        y = conv_block(params, f"{self.name}_first", x) + added
        y = conv_block(params, f"{self.name}_second", y)
        skip = f"{self.name}_skip"
        return y + (convolve(params, skip, x, 1) if self.inputs != self.width else x)


@dataclass(frozen=True)
class TemporalUNet:
    """What a noisy plan was before, or its noise: residual blocks at ever coarser steps and back.

    Called with plans `[S, B, L, dim]`, diffusion steps `[S, B, 1]`, from 1, and conditions
    `[S, B, condition_dim]`, if it has any, it returns `[S, B, L, dim]`.

    Attributes:
        dim: numbers of a step of a plan.
        hidden_dims: channels at each resolution, of steps half as many as at the one before.
        condition_dim: numbers that join the embedding of the diffusion step.
    """

    dim: int
    hidden_dims: tuple[int, ...]
    condition_dim: int = 0

    embedding: MLP = field(init=False)
    down: tuple[tuple[ResidualBlock, ResidualBlock], ...] = field(init=False)
    middle: tuple[ResidualBlock, ResidualBlock] = field(init=False)
    up: tuple[tuple[ResidualBlock, ResidualBlock], ...] = field(init=False)

    def __post_init__(self) -> None:
        # Built here, since a compiled update may read objects but not create them.
        widths, last = self.hidden_dims, self.hidden_dims[-1]
        embedded = widths[0] + self.condition_dim
        narrowing = [(2 * wide, narrow) for narrow, wide in reversed(list(pairwise(widths)))]
        object.__setattr__(self, "embedding", step_embedding(widths[0]))
        object.__setattr__(self, "down", _pairs("down", pairwise((self.dim, *widths)), embedded))
        object.__setattr__(self, "middle", _pairs("middle", iter([(last, last)]), embedded)[0])
        object.__setattr__(self, "up", _pairs("up", iter(narrowing), embedded))

    def init(self, generator: torch.Generator) -> Params:
        """PyTorch's for all layers."""
        params = prefixed(self.embedding.init(generator), "step_")
        for first, second in (*self.down, self.middle, *self.up):
            params |= first.init(generator) | second.init(generator)
        for i, width in enumerate(self.hidden_dims[:-1]):
            params |= _layer(f"coarser_{i}", 3 * width, width, generator)
        for i, width in enumerate(reversed(self.hidden_dims[:-1])):
            params |= _layer(f"finer_{i}", 4 * width, width, generator)
        width = self.hidden_dims[0]
        params |= _layer("last", _KERNEL * width, width, generator) | norm("last", width)
        return params | _layer("out", width, self.dim, generator)

    def __call__(self, params: Params, *inputs: Tensor) -> Tensor:
        x, step, *conditions = inputs
        embedding = self.embedding(part(params, "step_"), embed_step(step - 1, self.hidden_dims[0]))
        embedding = torch.cat([embedding, *conditions], -1)
        levels = []
        for i, (first, second) in enumerate(self.down):
            x = second(params, first(params, x, embedding), embedding)
            levels.append(x)
            if i < len(self.down) - 1:
                x = convolve(params, f"coarser_{i}", x, 3, stride=2)
        for block in self.middle:
            x = block(params, x, embedding)
        for i, (first, second) in enumerate(self.up):
            x = torch.cat([x, levels.pop()], -1)
            x = second(params, first(params, x, embedding), embedding)
            # Of an odd number of steps the coarser resolution has half of one more.
            x = double(params, f"finer_{i}", x)[:, :, : levels[-1].shape[2]]
        return convolve(params, "out", conv_block(params, "last", x), 1)


@dataclass(frozen=True)
class TemporalValue:
    """A number for each noisy plan: the U-Net's way down, two more blocks and an MLP.

    Called with plans `[S, B, horizon, dim]` and diffusion steps `[S, B, 1]` -> `[S, B]`.
    """

    dim: int
    hidden_dims: tuple[int, ...]
    horizon: int

    embedding: MLP = field(init=False)
    down: tuple[tuple[ResidualBlock, ResidualBlock], ...] = field(init=False)
    middle: tuple[ResidualBlock, ResidualBlock] = field(init=False)
    head: MLP = field(init=False)

    def __post_init__(self) -> None:
        width, last = self.hidden_dims[0], self.hidden_dims[-1]
        half, quarter = last // 2, last // 4
        down = _pairs("down", pairwise((self.dim, *self.hidden_dims)), width)
        length = self.horizon
        for _ in range(len(down) + 2):
            length = -(-length // 2)
        middle = (
            ResidualBlock("middle_0_0", last, half, width),
            ResidualBlock("middle_0_1", half, quarter, width),
        )
        flat = quarter * length
        object.__setattr__(self, "embedding", step_embedding(width))
        object.__setattr__(self, "down", down)
        object.__setattr__(self, "middle", middle)
        object.__setattr__(self, "head", MLP(flat + width, 1, (flat // 2,), activation="mish"))

    def init(self, generator: torch.Generator) -> Params:
        """PyTorch's for all layers."""
        params = prefixed(self.embedding.init(generator), "step_")
        for i, (first, second) in enumerate(self.down):
            params |= first.init(generator) | second.init(generator)
            params |= _layer(f"coarser_{i}", 3 * second.width, second.width, generator)
        for i, block in enumerate(self.middle):
            params |= block.init(generator)
            params |= _layer(f"middle_coarser_{i}", 3 * block.width, block.width, generator)
        return params | prefixed(self.head.init(generator), "head_")

    def __call__(self, params: Params, *inputs: Tensor) -> Tensor:
        x, step = inputs
        embedding = self.embedding(part(params, "step_"), embed_step(step - 1, self.hidden_dims[0]))
        for i, (first, second) in enumerate(self.down):
            x = second(params, first(params, x, embedding), embedding)
            x = convolve(params, f"coarser_{i}", x, 3, stride=2)
        for i, block in enumerate(self.middle):
            x = convolve(params, f"middle_coarser_{i}", block(params, x, embedding), 3, stride=2)
        return self.head(part(params, "head_"), x.flatten(2), embedding)


def step_embedding(width: int) -> MLP:
    """What is made of the sines and cosines of a diffusion step."""
    return MLP(width, width, (4 * width,), activation="mish")


def convolve(params: Params, name: str, x: Tensor, kernel: int, stride: int = 1) -> Tensor:
    """With zeros beyond both ends. [S, B, L, C] -> [S, B, L / stride, outputs]."""
    if kernel > 1:
        padded = F.pad(x, (0, 0, kernel // 2, kernel // 2))
        x = padded.unfold(2, kernel, stride).flatten(3)  # the steps of a channel side by side
    return linear(params, name, x.flatten(1, 2)).view(*x.shape[:3], -1)


def double(params: Params, name: str, x: Tensor) -> Tensor:
    """Twice as many steps, each from two neighbours: a transposed convolution of 4 steps.

    [S, B, L, C] -> [S, B, 2 L, outputs].
    """
    padded = F.pad(x, (0, 0, 1, 1))
    before, after = padded[:, :, :-2], padded[:, :, 2:]
    even, odd = bank(params, f"weight_{name}").chunk(2, 1)
    halves = [
        product(torch.cat(seen, -1).flatten(1, 2), weight)
        for seen, weight in (((x, before), even), ((after, x), odd))
    ]
    y = torch.stack(halves, 2) + bank(params, f"bias_{name}").unsqueeze(1)
    return y.view(*x.shape[:2], 2 * x.shape[2], -1)


def conv_block(params: Params, name: str, x: Tensor) -> Tensor:
    """Convolution, group norm, Mish. [S, B, L, C] -> [S, B, L, width]."""
    return mish(group_norm(params, name, convolve(params, name, x, _KERNEL)))


def group_norm(params: Params, name: str, x: Tensor) -> Tensor:
    """Each plan's groups of channels shifted and scaled over all steps. [S, B, L, C] -> the same.

    Eight groups, as in the official code, or fewer of four channels each.
    """
    seeds, plans, length, width = x.shape
    groups = next((n for n in (8, 4, 2) if width % n == 0 and width >= 4 * n), 1)
    grouped = x.view(seeds, plans, length, groups, -1)
    # One axis to reduce, and contiguous, so that a seed's sums are taken in the same order always.
    flat = grouped.transpose(2, 3).flatten(3)  # [S, B, groups, L * C / groups]
    mean = flat.mean(-1, keepdim=True)
    scale = torch.rsqrt((flat - mean).square().mean(-1, keepdim=True) + _EPSILON)
    normal = ((grouped - mean.unsqueeze(2)) * scale.unsqueeze(2)).view(x.shape)
    weight, shift = (bank(params, f"{kind}_{name}").unsqueeze(1) for kind in ("scale", "shift"))
    return normal * weight + shift


def _layer(name: str, fan_in: int, fan_out: int, generator: torch.Generator) -> Params:
    weight, bias = PYTORCH.layer(1, fan_in, fan_out, generator, last=False)
    return {f"weight_{name}": weight, f"bias_{name}": bias}


def _pairs(
    name: str, widths: Iterator[tuple[int, int]], embedding_dim: int
) -> tuple[tuple[ResidualBlock, ResidualBlock], ...]:
    """At each resolution a block that changes the number of channels and one that keeps it."""
    return tuple(
        (
            ResidualBlock(f"{name}_{i}_0", inputs, width, embedding_dim),
            ResidualBlock(f"{name}_{i}_1", width, width, embedding_dim),
        )
        for i, (inputs, width) in enumerate(widths)
    )
