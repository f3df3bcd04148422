"""Networks of a diffusion in continuous time, as SfBC and QGPO have them.

Chen et al., arXiv:2209.14548, and Lu et al., arXiv:2304.12824. Shapes: `S` seeds, `B` batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from algorithms.initialisation import PYTORCH
from algorithms.networks import MLP, Params, linear

_FEATURES = 32  # of the time, and of the observation beside it
_CONDITION = 128  # width of what both make together
_FREQUENCY_SCALE = 30.0


def fourier_features(time: Tensor, count: int = _FEATURES) -> Tensor:
    """Sines and cosines of the time, frequencies spread as |N(0, 30²)|. -> [S, B, count].

    They are its quantiles, where the official codes draw them once.
    """
    half = count // 2
    ranks = (torch.arange(half, device=time.device) + 0.5) / half
    frequencies = _FREQUENCY_SCALE * math.sqrt(2) * torch.erfinv(ranks)
    angles = 2 * math.pi * frequencies * time
    return torch.cat([angles.sin(), angles.cos()], -1)


@dataclass(frozen=True)
class ScoreUNet:
    """ε(s, x, t): residual blocks that narrow and widen again, conditioned on s and t.

    Called with observations `[S, B, obs_dim]`, x `[S, B, action_dim]` and t `[S, B, 1]`, it returns
    `[S, B, action_dim]`. A block of condition c is x + SiLU(W₂ (SiLU(W₁ x) + W_c SiLU(c))), where x
    takes a linear layer to another width.

    Attributes:
        widths: of the narrowing blocks; each but the last is reached again on the way back, where
            blocks also see what the narrowing ones returned.
    """

    obs_dim: int
    action_dim: int
    widths: tuple[int, ...]

    def init(self, generator: torch.Generator) -> Params:
        fans = {
            "observations": (self.obs_dim, _FEATURES),
            "time": (_FEATURES, _FEATURES),
            "condition_0": (2 * _FEATURES, _CONDITION),
            "condition_1": (_CONDITION, _CONDITION),
        }
        for name, (fan_in, fan_out) in self._blocks().items():
            fans[f"first_{name}"] = (fan_in, fan_out)
            fans[f"condition_{name}"] = (_CONDITION, fan_out)
            fans[f"second_{name}"] = (fan_out, fan_out)
            if fan_in != fan_out:
                fans[f"skip_{name}"] = (fan_in, fan_out)
        fans["out"] = (2 * self.widths[0], self.action_dim)
        params: Params = {}
        for name, (fan_in, fan_out) in fans.items():
            params[f"weight_{name}"], params[f"bias_{name}"] = PYTORCH.layer(
                1, fan_in, fan_out, generator, last=name == "out"
            )
        return params

    def _blocks(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of every block."""
        widths, last = self.widths, len(self.widths) - 1
        before = (self.action_dim, *widths)
        down = {f"down_{i}": (before[i], width) for i, width in enumerate(widths)}
        up = {f"up_{i}": (2 * widths[i], widths[i - 1]) for i in range(last, 0, -1)}
        return {**down, "middle": (widths[last], widths[last]), **up}

    def __call__(self, params: Params, *inputs: Tensor) -> Tensor:
        observations, x, time = inputs
        seen = F.silu(linear(params, "observations", observations))
        embedded = linear(params, "time", fourier_features(time))
        condition = F.silu(linear(params, "condition_0", torch.cat([seen, embedded], -1)))
        condition = F.silu(linear(params, "condition_1", condition))
        narrowing = []
        for i in range(len(self.widths)):
            x = _block(params, f"down_{i}", x, condition)
            narrowing.append(x)
        x = _block(params, "middle", x, condition)
        for i in range(len(self.widths) - 1, 0, -1):
            x = _block(params, f"up_{i}", torch.cat([narrowing[i], x], -1), condition)
        return linear(params, "out", torch.cat([narrowing[0], x], -1))


def _block(params: Params, name: str, x: Tensor, condition: Tensor) -> Tensor:
    hidden = F.silu(linear(params, f"first_{name}", x))
    hidden = hidden + linear(params, f"condition_{name}", condition)
    skipped = linear(params, f"skip_{name}", x) if f"weight_skip_{name}" in params else x
    return F.silu(linear(params, f"second_{name}", hidden)) + skipped


@dataclass(frozen=True)
class GuidanceNetwork:
    """f(s, x, t), whose gradient in x guides a diffusion: an MLP with SiLU that sees t embedded.

    Called with observations `[S, B, obs_dim]`, x `[S, B, action_dim]` and t `[S, B, 1]`, it returns
    `[S, B]`.
    """

    obs_dim: int
    action_dim: int
    hidden_dims: tuple[int, ...]

    body: MLP = field(init=False)

    def __post_init__(self) -> None:
        # Built here, since a compiled update may read objects but not create them.
        inputs = self.obs_dim + self.action_dim + _FEATURES
        object.__setattr__(self, "body", MLP(inputs, 1, self.hidden_dims, activation="silu"))

    def init(self, generator: torch.Generator) -> Params:
        params = self.body.init(generator)
        params["weight_time"], params["bias_time"] = PYTORCH.layer(
            1, _FEATURES, _FEATURES, generator, last=False
        )
        return params

    def __call__(self, params: Params, *inputs: Tensor) -> Tensor:
        observations, x, time = inputs
        embedded = linear(params, "time", fourier_features(time))
        return self.body(params, observations, x, embedded)
