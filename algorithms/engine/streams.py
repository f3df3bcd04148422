"""Noise from named streams, one for each seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from algorithms.base import NoiseSpec, Normal
from algorithms.engine.seeding import derive_seed


def generator(*key: int | str) -> torch.Generator:
    """The beginning of the stream named by `key`."""
    return torch.Generator().manual_seed(derive_seed(*key))


def draw(
    specs: NoiseSpec,
    generators: Sequence[torch.Generator],
    shape: tuple[int, ...],
    device: torch.device,
) -> dict[str, Tensor]:
    """Noise `[*shape[:-1], S, shape[-1], dim]` by name; each seed draws from its own generator.

    Drawn on the CPU whatever the device, so that both see the same numbers.
    """
    noise = {}
    for name, spec in specs.items():
        sample = torch.randn if isinstance(spec, Normal) else torch.rand
        drawn = [sample(*shape, spec.dim, generator=g) for g in generators]
        noise[name] = to_device(torch.stack(drawn, len(shape) - 1), device)
    return noise


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on the device; a GPU goes on with what it is at meanwhile."""
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)
