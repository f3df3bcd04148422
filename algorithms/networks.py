"""Banks of small networks: every parameter has a leading seed axis, then an ensemble axis.

Shapes: `S` seeds, `E` ensemble members, `B` batch. A network is a description; its parameters
live with the engine, so the same description serves the trained, the target and the frozen copy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from algorithms.dropout import dropout
from algorithms.initialisation import PYTORCH, Initialisation

Params = dict[str, Tensor]
Activation = Literal["relu", "gelu", "silu", "mish", "tanh"]


class Network(Protocol):
    """What the engine needs of a network."""

    def init(self, generator: torch.Generator) -> Params:
        """Parameters of one seed, each `[E, ...]`."""

    def __call__(self, params: Params, *inputs: Tensor) -> Any:
        """Apply with stacked parameters `[S, E, ...]` to inputs `[S, B, ...]`.

        A network with dropout also takes `key`, int64 `[S]` (noise of the kind `Key`), or None.
        """


def gelu(x: Tensor) -> Tensor:
    """The tanh approximation of GELU, written with exp because it vectorises better."""
    return x * torch.sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))


def mish(x: Tensor) -> Tensor:
    """x tanh(log(1 + eˣ)) (arXiv:1908.08681), with a single exp because it vectorises better."""
    e = torch.exp(x.clamp(max=20.0))  # beyond, it is x to the last bit
    n = e * (e + 2)
    return x * (n / (n + 2))


# Torch gives products of more multiplications to oneDNN where it may, and others to MKL. It counts
# the whole stack's; counting one seed's keeps a seed's bits the same beside any neighbours.
_SMALL_PRODUCT = 16**3
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": gelu,
    "silu": F.silu,
    "mish": mish,
    "tanh": torch.tanh,
}


@dataclass(frozen=True)
class MLP:
    """`ensemble` identical multi-layer perceptrons per seed.

    Called with inputs `[S, B, *]`, which are concatenated along the last axis, it returns
    `[S, E, B, output_dim]`, without the `E` axis when `ensemble` is 1 and without the last axis
    when `output_dim` is 1. Inputs `[S, E, B, *]` are one for each member. Layer norm follows the
    activation, as in FQL's networks, unless `norm_first`; dropout, if a `key` is given, comes last.
    """

    input_dim: int
    output_dim: int
    hidden_dims: tuple[int, ...]
    ensemble: int = 1
    activation: Activation = "relu"
    layer_norm: bool = False
    dropout: float = 0.0  # of hidden units, while a key is given
    initialisation: Initialisation = PYTORCH
    norm_first: bool = False  # layer norm before the activation, as in jaxrl's networks

    def init(self, generator: torch.Generator) -> Params:
        params: Params = {}
        dims = (self.input_dim, *self.hidden_dims, self.output_dim)
        for i, (fan_in, fan_out) in enumerate(pairwise(dims)):
            last = i == len(self.hidden_dims)
            params[f"weight_{i}"], params[f"bias_{i}"] = self.initialisation.layer(
                self.ensemble, fan_in, fan_out, generator, last=last
            )
            if self.layer_norm and not last:
                params |= norm(i, fan_out, self.ensemble)
        return params

    def __call__(self, params: Params, *inputs: Tensor, key: Tensor | None = None) -> Tensor:
        x = torch.cat(inputs, -1) if len(inputs) > 1 else inputs[0]
        seeds, batch = x.shape[0], x.shape[-2]
        if x.shape[-1] != self.input_dim:
            raise ValueError(f"expected {self.input_dim} input features, found {x.shape[-1]}")
        if self.ensemble > 1:
            each = x if x.ndim == 4 else x.unsqueeze(1).expand(seeds, self.ensemble, batch, -1)
            x = each.flatten(0, 1)
        for i in range(len(self.hidden_dims)):
            x = linear(params, i, x)
            if self.layer_norm and self.norm_first:
                x = layer_norm(params, i, x)
            x = ACTIVATIONS[self.activation](x)
            if self.layer_norm and not self.norm_first:
                x = layer_norm(params, i, x)
            if key is not None:
                x = self._drop(x, key, i)
        last = len(self.hidden_dims)
        if self.output_dim == 1:  # a matrix-vector product: cheaper as one fused multiply and sum
            weight = bank(params, f"weight_{last}")
            y = (x * weight.transpose(1, 2)).sum(-1) + bank(params, f"bias_{last}")[:, :, 0]
        else:
            y = linear(params, last, x)
        return y.view(seeds, self.ensemble, *y.shape[1:]) if self.ensemble > 1 else y

    def _drop(self, x: Tensor, key: Tensor, site: int) -> Tensor:
        """Dropout of hidden units `[S * E, B, width]`."""
        of_seed = x.view(len(key), -1, *x.shape[1:])
        return dropout(of_seed, key, site, self.dropout).view(x.shape)


@dataclass(frozen=True)
class GaussianActor:
    """A Gaussian policy whose standard deviation is state-independent; a tanh bounds its mean.

    Called with observations `[S, B, obs_dim]` it returns the mean and the log standard deviation,
    each `[S, B, action_dim]` (IQL's policy: kostrikov/implicit_q_learning `policy.py`).
    """

    obs_dim: int
    action_dim: int
    hidden_dims: tuple[int, ...]
    log_std_min: float = -5.0
    log_std_max: float = 2.0
    bounded: bool = True  # whether the mean has its tanh
    dropout: float = 0.0
    initialisation: Initialisation = PYTORCH

    mlp: MLP = field(init=False)

    def __post_init__(self) -> None:
        # Built here, since a compiled update may read objects but not create them.
        mlp = MLP(
            self.obs_dim,
            self.action_dim,
            self.hidden_dims,
            dropout=self.dropout,
            initialisation=self.initialisation,
        )
        object.__setattr__(self, "mlp", mlp)

    def init(self, generator: torch.Generator) -> Params:
        return {
            **self.mlp.init(generator),
            "log_std": torch.zeros(1, 1, self.action_dim),
        }

    def __call__(
        self, params: Params, *inputs: Tensor, key: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        mean = self.mlp(params, *inputs, key=key)
        mean = torch.tanh(mean) if self.bounded else mean
        log_std = bank(params, "log_std").clamp(self.log_std_min, self.log_std_max)
        return mean, log_std.expand_as(mean)


def gaussian_log_prob(actions: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log density of a diagonal Gaussian. [S, B, action_dim] each -> [S, B]."""
    z = (actions - mean) * torch.exp(-log_std)
    return (-0.5 * z.square() - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)


# --- what networks are made of ---------------------------------------------------------------


def bank(params: Params, name: str) -> Tensor:
    """A parameter with its seed and ensemble axes merged, as batched products want it."""
    return params[name].flatten(0, 1)


def prefixed(params: Params, prefix: str) -> Params:
    """A network's parameters as a part of another's."""
    return {prefix + k: v for k, v in params.items()}


def part(params: Params, prefix: str) -> Params:
    """The parameters of a part, as `prefixed` was given them."""
    return {k.removeprefix(prefix): v for k, v in params.items() if k.startswith(prefix)}


def linear(params: Params, layer: int | str, x: Tensor) -> Tensor:
    """The layer of that name. [S * E, N, inputs] -> [S * E, N, outputs]."""
    return product(x, bank(params, f"weight_{layer}")) + bank(params, f"bias_{layer}")


def product(x: Tensor, y: Tensor) -> Tensor:
    """Matrix products, each with the same bits however many there are. [N, a, b], [N, b, c]."""
    if x.shape[1] * y[0].numel() > _SMALL_PRODUCT:
        # Not baddbmm: the sum is fused with what follows, and baddbmm would first copy the bias.
        return torch.bmm(x, y)
    return (x.unsqueeze(-1) * y.unsqueeze(1)).sum(2)


def norm(layer: int | str, width: int, members: int = 1) -> Params:
    """The scale and shift with which a layer norm starts."""
    ones = torch.ones(members, 1, width)
    return {f"scale_{layer}": ones, f"shift_{layer}": torch.zeros_like(ones)}


def layer_norm(params: Params, layer: int | str, x: Tensor, epsilon: float = 1e-6) -> Tensor:
    """The layer norm of that name. [S * E, N, width] -> the same."""
    centered = x - x.mean(-1, keepdim=True)
    normal = centered * torch.rsqrt(centered.square().mean(-1, keepdim=True) + epsilon)
    return normal * bank(params, f"scale_{layer}") + bank(params, f"shift_{layer}")
