"""Noise from named streams, one for each seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from algorithms.base import Key, NoiseSpec, Normal, Uniform
from algorithms.engine.seeding import derive_seed

CPU = torch.device("cpu")


def generator(*key: int | str, device: torch.device = CPU) -> torch.Generator:
    """The beginning of the stream named by `key`, of numbers that are drawn on the device."""
    return torch.Generator(device).manual_seed(derive_seed(*key))


def draw(
    specs: NoiseSpec, generators: Sequence[torch.Generator], shape: tuple[int, ...]
) -> dict[str, Tensor]:
    """Noise by name; each seed draws from its own generator, on the generators' device.

    Normal and uniform noise is `[*shape[:-1], S, shape[-1], dim]`, keys are `[*shape[:-1], S]`.
    A GPU's numbers are not a CPU's, but as reproducible.
    """
    noise = {}
    for name, spec in specs.items():
        drawn = [_draw(spec, g, shape) for g in generators]
        noise[name] = torch.stack(drawn, len(shape) - 1)
    return noise


def draw_indices(
    rows: int, generators: Sequence[torch.Generator], shape: tuple[int, ...]
) -> Tensor:
    """Rows of the data, `[*shape[:-1], S, shape[-1]]`, on the generators' device."""
    drawn = [torch.randint(rows, shape, generator=g, device=g.device) for g in generators]
    return torch.stack(drawn, len(shape) - 1)


def _draw(
    spec: Normal | Uniform | Key, generator: torch.Generator, shape: tuple[int, ...]
) -> Tensor:
    device = generator.device
    if isinstance(spec, Key):
        return torch.randint(2**32, shape[:-1], generator=generator, device=device)
    sample = torch.randn if isinstance(spec, Normal) else torch.rand
    return sample(*shape, spec.dim, generator=generator, device=device)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A CPU tensor on the device; a GPU goes on with what it is at meanwhile."""
    if device.type == "cpu":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)
