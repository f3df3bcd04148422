"""A causal transformer. Shapes: `S` seeds, `B` batch, `T` tokens, `D` width of a token.

GPT-2's blocks (Radford et al. 2019), with Decision Transformer's ReLU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from algorithms.dropout import dropout
from algorithms.networks import Params, layer_norm, linear, norm, product

_EPSILON = 1e-5  # of GPT-2's layer norms
_SITES = 3  # of dropout in a block: attention weights, and what either half adds


@dataclass(frozen=True)
class Transformer:
    """Blocks of causal self-attention and an MLP, each after a layer norm and added to its input.

    Called with embedded tokens `[S, B, T, D]`, it returns `[S, B, T, D]`, each from its token and
    those before it.

    Attributes:
        width: D.
        hidden_dims: hidden units of each block's MLP; as many blocks.
        heads: of attention; they divide D.
        dropout: of attention weights and of what each half of a block adds, while a key is given.
    """

    width: int
    hidden_dims: tuple[int, ...]
    heads: int = 1
    dropout: float = 0.0

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

    def __call__(self, params: Params, tokens: Tensor, *, key: Tensor | None = None) -> Tensor:
        x = tokens.flatten(1, 2)
        for i in range(len(self.hidden_dims)):
            added = self._attend(params, i, x, tokens.shape, key)
            x = x + dropout(added, key, _SITES * i + 1, self.dropout)
            hidden = layer_norm(params, f"mlp_{i}", x, _EPSILON)
            added = linear(params, f"down_{i}", F.relu(linear(params, f"up_{i}", hidden)))
            x = x + dropout(added, key, _SITES * i + 2, self.dropout)
        return layer_norm(params, "last", x, _EPSILON).view(tokens.shape)

    def _attend(
        self, params: Params, i: int, x: Tensor, shape: torch.Size, key: Tensor | None
    ) -> Tensor:
        """What attention adds to the tokens `[S, B * T, D]`. shape: `[S, B, T, D]`."""
        seeds, batch, length, _ = shape
        qkv = linear(params, f"qkv_{i}", layer_norm(params, f"attention_{i}", x, _EPSILON))
        split = qkv.view(seeds, batch, length, 3, self.heads, -1).permute(3, 0, 1, 4, 2, 5)
        q, k, v = split.flatten(1, 3).unbind()  # [S * B * heads, T, D / heads]
        scores = product(q, k.mT) / math.sqrt(q.shape[-1])
        scores = scores.view(seeds, batch, self.heads, length, length)
        later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        weights = scores.masked_fill(later, -torch.inf).softmax(-1)
        weights = dropout(weights, key, _SITES * i, self.dropout)
        mixed = product(weights.flatten(0, 2), v).view(seeds, batch, self.heads, length, -1)
        return linear(params, f"mixed_{i}", mixed.transpose(2, 3).reshape(x.shape))
