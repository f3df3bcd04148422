"""What updates are given at random, drawn outside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from algorithms.base import Algorithm
from algorithms.engine.online_buffer import Mixture, draw_symmetric, draw_uniform
from algorithms.engine.streams import draw, draw_indices, generator

BLOCK = 32  # updates whose indices and noise are drawn together


class Draws:
    """Rows and noise of every update, from one stream per seed and block of updates.

    So a seed's numbers depend neither on its slot in the stack, nor on its neighbours, nor on where
    a run was interrupted.

    Args:
        algorithm: says which noise its updates take, and how it samples online.
        rows: of the data.
        seeds: one a slot.
        device: where numbers are drawn, and stay.
    """

    def __init__(
        self, algorithm: Algorithm[Any], rows: int, seeds: Sequence[int], device: torch.device
    ) -> None:
        self._specs = algorithm.noise
        self._shape = (BLOCK, algorithm.config.batch_size)
        self._uniform = algorithm.online_sampling == "uniform"
        self._rows = rows
        self._seeds = tuple(seeds)
        self._device = device
        self._block: int | None = None
        self._indices = torch.empty(0)  # [K, S, B] of this block
        self._noise: dict[str, Tensor] = {}  # [K, S, B, dim] each

    def of_update(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Rows of the data `[S, B]` and noise by name, of the update after so many."""
        block, k = divmod(step, BLOCK)
        if block != self._block:
            generators = self._generators("train", block)
            self._indices = draw_indices(self._rows, generators, self._shape)
            self._noise = draw(self._specs, generators, self._shape)
            self._block = block
        return self._indices[k], {name: values[k] for name, values in self._noise.items()}

    def mixed(self, step: int, indices: Tensor, sizes: Sequence[int]) -> Mixture:
        """Of the data at `indices` [S, B], and of so many transitions of each seed's own."""
        generators = self._generators("online", step)
        if self._uniform:
            return draw_uniform(self._rows, sizes, indices, generators)
        return draw_symmetric(sizes, indices, generators)

    def _generators(self, stream: str, number: int) -> list[torch.Generator]:
        return [generator(stream, seed, number, device=self._device) for seed in self._seeds]
