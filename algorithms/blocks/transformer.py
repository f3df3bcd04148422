"""A causal transformer. Shapes: `S` seeds, `B` batch, `T` tokens, `D` width of a token.

GPT-2's blocks (Radford et al. 2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from algorithms.dropout import dropout
from algorithms.networks import Params, layer_norm, linear, norm, product

_EPSILON = 1e-5  # of GPT-2's layer norms
_SITES = 3  # of dropout in a block: attention weights, and what either half adds


class Attention(Protocol):
    """Settings of a transformer."""

    @property
    def embedding_dim(self) -> int: ...
    @property
    def heads(self) -> int: ...


A = TypeVar("A", bound=Attention)


def heads_divide_the_width(config: A) -> A:
    """A validator of configs. Raises ValueError."""
    if config.embedding_dim % config.heads:
        raise ValueError(
            f"heads must divide embedding_dim, and {config.heads} does not divide "
            f"{config.embedding_dim}"
        )
    return config


@dataclass
class Cache:
    """Keys and values of the tokens that a transformer has seen, for those after them.

    Attributes:
        capacity: of how many tokens there is room for.
        length: of how many tokens they are.
        blocks: of every block `[2, S, B, heads, capacity, D / heads]`.
    """

    capacity: int
    length: int = 0
    blocks: list[Tensor] = field(default_factory=list)

    def extend(self, block: int, new: Tensor) -> Tensor:
        """Take in a block's keys and values of further tokens, and return all so far.

        [2, S, B, heads, T, D / heads] -> the same of all tokens.
        """
        if block == len(self.blocks):
            self.blocks.append(new.new_zeros(*new.shape[:4], self.capacity, new.shape[5]))
        end = self.length + new.shape[4]
        self.blocks[block][..., self.length : end, :] = new
        return self.blocks[block][..., :end, :]

    def repeat(self, times: int) -> Cache:
        """Each sequence of the batch so many times in a row."""
        return replace(self, blocks=[kept.repeat_interleave(times, 2) for kept in self.blocks])


@dataclass(frozen=True)
class Transformer:
    """Blocks of causal self-attention and an MLP, each after a layer norm and added to its input.

    Called with embedded tokens `[S, B, T, D]`, it returns `[S, B, T, D]`, each from its token and
    those before it. With a cache, the tokens follow those of the cache, and are added to it.

    Attributes:
        width: D.
        hidden_dims: hidden units of each block's MLP; as many blocks.
        heads: of attention; they divide D.
        dropout: of attention weights and of what each half of a block adds, while a key is given.
        activation: of hidden units.
        unseen: every so-many-th token is attended to by none, not even by itself; 0: all are seen.
    """

    width: int
    hidden_dims: tuple[int, ...]
    heads: int = 1
    dropout: float = 0.0
    activation: Callable[[Tensor], Tensor] = F.relu
    unseen: int = 0

    def init(self, generator: torch.Generator) -> Params:
        """GPT-2's: weights N(0, 0.02²), biases 0."""
        params = norm("last", self.width)
        for i, hidden in enumerate(self.hidden_dims):
            for name, fan_in, fan_out in (
                ("qkv", self.width, 3 * self.width),
                ("mixed", self.width, self.width),
                ("up", self.width, hidden),
                ("down", hidden, self.width),
            ):
                weight = 0.02 * torch.randn(1, fan_in, fan_out, generator=generator)
                params[f"weight_{name}_{i}"] = weight
                params[f"bias_{name}_{i}"] = torch.zeros(1, 1, fan_out)
            params |= norm(f"attention_{i}", self.width) | norm(f"mlp_{i}", self.width)
        return params

    @property
    def sites(self) -> int:
        """Of dropout: those from here on are free for what is around it."""
        return _SITES * len(self.hidden_dims)

    def __call__(
        self,
        params: Params,
        tokens: Tensor,
        *,
        key: Tensor | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        x = tokens.flatten(1, 2)
        for i in range(len(self.hidden_dims)):
            added = self._attend(params, i, x, tokens.shape, key, cache)
            x = x + dropout(added, key, _SITES * i + 1, self.dropout)
            hidden = layer_norm(params, f"mlp_{i}", x, _EPSILON)
            added = linear(params, f"down_{i}", self.activation(linear(params, f"up_{i}", hidden)))
            x = x + dropout(added, key, _SITES * i + 2, self.dropout)
        if cache is not None:
            cache.length += tokens.shape[2]
        return layer_norm(params, "last", x, _EPSILON).view(tokens.shape)

    def _attend(
        self,
        params: Params,
        i: int,
        x: Tensor,
        shape: torch.Size,
        key: Tensor | None,
        cache: Cache | None,
    ) -> Tensor:
        """What attention adds to the tokens `[S, B * T, D]`. shape: `[S, B, T, D]`."""
        seeds, batch, length, _ = shape
        qkv = linear(params, f"qkv_{i}", layer_norm(params, f"attention_{i}", x, _EPSILON))
        split = qkv.view(seeds, batch, length, 3, self.heads, -1).permute(3, 0, 1, 4, 2, 5)
        q, k, v = split.flatten(1, 3).unbind()  # [S * B * heads, T, D / heads]
        before = cache.length if cache is not None else 0
        if cache is not None:
            k, v = cache.extend(i, split[1:]).flatten(1, 3).unbind()
        scores = product(q, k.mT) / math.sqrt(q.shape[-1])
        scores = scores.view(seeds, batch, self.heads, length, before + length)
        hidden = torch.ones(length, before + length, dtype=torch.bool, device=x.device)
        hidden = hidden.triu(1 + before)
        if self.unseen:
            hidden[:, self.unseen - 1 :: self.unseen] = True
        weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        weights = dropout(weights, key, _SITES * i, self.dropout)
        mixed = product(weights.flatten(0, 2), v).view(seeds, batch, self.heads, length, -1)
        return linear(params, f"mixed_{i}", mixed.transpose(2, 3).reshape(x.shape))
