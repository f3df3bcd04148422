"""What the recorders of SfBC and QGPO share: their codes have the same network of the noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
from torch import Tensor, nn

from tests.oracles.recording import ACTION_DIM, OBS_DIM, Arrays, frequencies, perceptron

WIDTHS = (16, 8, 4)
_NARROWER = 512 // WIDTHS[0]
_BLOCKS = {
    "down_0": "down_block1",
    "down_1": "down_block2",
    "down_2": "down_block3",
    "middle": "middle1",
    "up_2": "up_block3",
    "up_1": "up_block2",
}


def narrow_blocks(official: Any) -> Any:
    """Its residual blocks have fewer units. official: the module of its networks."""
    own = official.Residual_Block.__init__

    def block(module: nn.Module, inputs: int, outputs: int) -> None:
        own(module, inputs // _NARROWER if inputs > ACTION_DIM else inputs, outputs // _NARROWER)

    return mock.patch.object(official.Residual_Block, "__init__", block)


def as_ours(model: nn.Module) -> None:
    """The narrow last layer, and the time's frequencies, which the methods' files list."""
    if hasattr(model, "last"):
        model.last = nn.Linear(2 * WIDTHS[0], ACTION_DIM)
    waves: Any = model.get_submodule("embed.0")
    count = len(waves.W)
    del waves.W  # no parameter, for it is not learned
    waves.register_buffer("W", frequencies(count))


def score_arrays(network: Any, read: Callable[[Tensor], Tensor]) -> Arrays:
    """By our names; the official network is of minus the noise."""
    layers = {
        "observations": network.pre_sort_condition,
        "time": network.embed,
        "condition_0": network.sort_t[0],
        "condition_1": network.sort_t[2],
        "out": network.last,
    }
    for ours, theirs in _BLOCKS.items():
        block = getattr(network, theirs)
        layers |= {
            f"first_{ours}": block.dense1,
            f"condition_{ours}": block.time_mlp,
            f"second_{ours}": block.dense2,
        }
        if isinstance(block.modify_x, nn.Linear):
            layers[f"skip_{ours}"] = block.modify_x
    arrays: Arrays = {}
    for name, layer in layers.items():
        sign = -1 if name == "out" else 1
        own = perceptron(layer, read)
        arrays |= {f"{kind}_{name}": sign * own[f"{kind}_0"] for kind in ("weight", "bias")}
    return arrays


def of_action_first(arrays: Arrays) -> Arrays:
    """Arrays of a perceptron of (a, ..., s), as those of one of (s, a, ...)."""
    return {**arrays, "weight_0": np.roll(arrays["weight_0"], OBS_DIM, 0)}
