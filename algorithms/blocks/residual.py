"""A residual MLP, the network of IDQL's diffusion policy and of methods that follow it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.dropout import dropout
from algorithms.initialisation import PYTORCH, Initialisation
from algorithms.networks import ACTIVATIONS, Activation, Params, layer_norm, linear, norm

_WIDER = 4  # hidden units of a block, in units of its width


@dataclass(frozen=True)
class ResidualMLP:
    """Linear, `blocks` times x + linear(activation(linear(norm(dropout(x))))), activation, linear.

    Called with inputs `[S, B, *]`, which are concatenated along the last axis, it returns
    `[S, B, output_dim]` (Hansen-Estruch et al., arXiv:2304.10573, Appendix G).
    """

    input_dim: int
    output_dim: int
    width: int
    blocks: int
    activation: Activation = "relu"
    dropout: float = 0.0  # of what enters a block, while a key is given
    initialisation: Initialisation = PYTORCH

    def init(self, generator: torch.Generator) -> Params:
        params: Params = {}
        fans = {"in": (self.input_dim, self.width)}
        for i in range(self.blocks):
            params |= norm(i, self.width)
            fans[f"wide_{i}"] = (self.width, _WIDER * self.width)
            fans[f"narrow_{i}"] = (_WIDER * self.width, self.width)
        fans["out"] = (self.width, self.output_dim)
        for name, (fan_in, fan_out) in fans.items():
            params[f"weight_{name}"], params[f"bias_{name}"] = self.initialisation.layer(
                1, fan_in, fan_out, generator, last=name == "out"
            )
        return params

    def __call__(self, params: Params, *inputs: Tensor, key: Tensor | None = None) -> Tensor:
        activation = ACTIVATIONS[self.activation]
        x = linear(params, "in", torch.cat(inputs, -1))
        for i in range(self.blocks):
            entering = layer_norm(params, i, dropout(x, key, i, self.dropout))
            x = x + linear(params, f"narrow_{i}", activation(linear(params, f"wide_{i}", entering)))
        return linear(params, "out", activation(x))
