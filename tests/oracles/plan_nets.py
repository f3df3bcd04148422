"""What the recorders of Diffuser and Decision Diffuser share: the codes have one trainer and U-Net.

In a venv with einops.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from tests.oracles.recording import (
    BATCH,
    LEARNING_RATE,
    Arrays,
    array,
    bare_packages,
    drawing,
    perceptron,
)

CHANNELS = (8, 16)
HORIZON, STEPS = 4, 5

Read = Callable[[Tensor], Tensor]


def package(folder: Path) -> Any:
    """The official networks, diffusion and trainer, without environments, rendering and logs."""
    bare_packages(folder, "diffuser", "diffuser.models", "diffuser.utils")
    sys.modules["ml_logger"] = mock.MagicMock()
    utils: Any = sys.modules["diffuser.utils"]
    utils.to_np = importlib.import_module("diffuser.utils.arrays").to_np
    found: Any = ModuleType("official")
    found.diffusion = importlib.import_module("diffuser.models.diffusion")
    found.temporal = importlib.import_module("diffuser.models.temporal")
    found.training = importlib.import_module("diffuser.utils.training")
    _narrow_groups(importlib.import_module("diffuser.models.helpers"))
    return found


def _narrow_groups(helpers: Any) -> None:
    """Groups of four channels at least, as ours, where eight groups would have fewer."""
    own = helpers.Conv1dBlock.__init__

    def block(module: nn.Module, inputs: int, outputs: int, *rest: Any, **named: Any) -> None:
        own(module, inputs, outputs, *rest, **named, n_groups=min(8, max(1, outputs // 4)))

    helpers.Conv1dBlock.__init__ = block


def trainer(official: Any, diffusion: nn.Module) -> Any:
    """The official trainer, which neither samples nor writes."""
    official.training.batch_to_device = lambda batch, **_: batch
    found = official.training.Trainer(diffusion, [0], None, train_lr=LEARNING_RATE, sample_freq=0)
    found.save = lambda *_: None
    return found


def train(of: Any, batch: Sequence[Any], step: Tensor, epsilon: Tensor) -> dict[str, float]:
    """An update by the gradients of two halves of the batch, and the means of what they report.

    batch: what the official loss is given, with the first observations in a dictionary.
    """
    half = BATCH // 2
    halves = [slice(None, half), slice(half, None)]

    def part(x: Any, of_batch: slice) -> Any:
        return {k: v[of_batch] for k, v in x.items()} if isinstance(x, Mapping) else x[of_batch]

    of.dataloader = iter([[part(x, of_batch) for x in batch] for of_batch in halves])
    times = [(STEPS * step[of_batch, 0]).long() for of_batch in halves]
    reports: list[dict[str, float]] = []
    own = of.model.loss

    def kept(*arguments: Any) -> Any:
        loss, information = own(*arguments)
        reports.append({"loss": loss.item(), **{k: float(x) for k, x in information.items()}})
        return loss, information

    with (
        drawing(*[epsilon[of_batch] for of_batch in halves]),
        mock.patch("torch.randint", side_effect=times),
        mock.patch.object(of.model, "loss", kept),
    ):
        of.train(1)
    return {name: (reports[0][name] + reports[1][name]) / 2 for name in reports[0]}


def tame(*modules: nn.Module) -> None:
    """Convolutions as they were drawn for their steps alone, for their channels too."""
    for module in modules:
        for parameter in module.parameters():
            if parameter.ndim == 3:
                parameter.data /= parameter.shape[1] ** 0.5


def unet_arrays(network: Any, read: Read) -> Arrays:
    """Of the U-Net, by our names."""
    arrays = _steps(network, read)
    for i, (first, second, *_, coarser) in enumerate(network.downs):
        arrays |= _block(f"down_{i}_0", first, read) | _block(f"down_{i}_1", second, read)
        if hasattr(coarser, "conv"):
            arrays |= _convolution(f"coarser_{i}", coarser.conv, read)
    arrays |= _block("middle_0_0", network.mid_block1, read)
    arrays |= _block("middle_0_1", network.mid_block2, read)
    for i, (first, second, *_, finer) in enumerate(network.ups):
        arrays |= _block(f"up_{i}_0", first, read) | _block(f"up_{i}_1", second, read)
        arrays |= _doubling(f"finer_{i}", finer.conv, read)
    arrays |= _normed("last", network.final_conv[0], read)
    return arrays | _convolution("out", network.final_conv[1], read)


def value_arrays(network: Any, read: Read) -> Arrays:
    """Of the value network, by our names."""
    arrays = _steps(network, read)
    for i, (first, second, coarser) in enumerate(network.blocks):
        arrays |= _block(f"down_{i}_0", first, read) | _block(f"down_{i}_1", second, read)
        arrays |= _convolution(f"coarser_{i}", coarser.conv, read)
    middle = ((network.mid_block1, network.mid_down1), (network.mid_block2, network.mid_down2))
    for i, (block, coarser) in enumerate(middle):
        arrays |= _block(f"middle_0_{i}", block, read)
        arrays |= _convolution(f"middle_coarser_{i}", coarser.conv, read)
    head = perceptron(network.final_block, read)
    return arrays | {f"head_{name}": x for name, x in head.items()}


def _steps(network: Any, read: Read) -> Arrays:
    return {f"step_{name}": x for name, x in perceptron(network.time_mlp, read).items()}


def _block(name: str, block: Any, read: Read) -> Arrays:
    arrays = _normed(f"{name}_first", block.blocks[0], read)
    arrays |= _normed(f"{name}_second", block.blocks[1], read)
    embedding = perceptron(block.time_mlp, read)
    arrays |= {f"{kind}_{name}_embedding": embedding[f"{kind}_0"] for kind in ("weight", "bias")}
    if isinstance(block.residual_conv, nn.Conv1d):
        arrays |= _convolution(f"{name}_skip", block.residual_conv, read)
    return arrays


def _normed(name: str, layer: Any, read: Read) -> Arrays:
    norm = layer.block[2]
    scale, shift = (array(read(x)[None]) for x in (norm.weight, norm.bias))
    own = _convolution(name, layer.block[0], read)
    return own | {f"scale_{name}": scale, f"shift_{name}": shift}


def _convolution(name: str, layer: Any, read: Read) -> Arrays:
    """Rows of a channel's steps, side by side."""
    weight = read(layer.weight).flatten(1).T
    return {f"weight_{name}": array(weight), f"bias_{name}": array(read(layer.bias)[None])}


def _doubling(name: str, layer: Any, read: Read) -> Arrays:
    """Rows for the even steps, of the present one and the one before; then for the odd, alike."""
    weight = read(layer.weight)
    rows = torch.cat([weight[:, :, tap] for tap in (1, 3, 0, 2)])
    return {f"weight_{name}": array(rows), f"bias_{name}": array(read(layer.bias)[None])}
