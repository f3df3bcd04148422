"""Replays an update on a GPU as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Update = Callable[[Tensor, Mapping[str, Tensor], Tensor], dict[str, Tensor]]

_CALLS_BEFORE_CAPTURE = 3


class GraphedUpdate:
    """An update of stacked small networks, launched as a whole instead of kernel by kernel.

    Such an update is hundreds of kernels of a few microseconds, which take longer to launch than
    to run. The first calls run as they are, since compiling and the libraries' own set-up cannot
    be captured. The learning state changes in place, so the graph finds it where it was; and as
    capturing runs nothing, every call remains one update. The metrics returned are overwritten by
    the next call.
    """

    def __init__(self, update: Update) -> None:
        self._update = update
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, dict[str, Tensor], Tensor]
        self._metrics: dict[str, Tensor]

    def __call__(
        self, indices: Tensor, noise: Mapping[str, Tensor], coefficients: Tensor
    ) -> dict[str, Tensor]:
        if self._graph is None:
            if self._calls < _CALLS_BEFORE_CAPTURE:
                self._calls += 1
                return self._update(indices, noise, coefficients)
            self._capture(indices, noise, coefficients)
        assert self._graph is not None
        into_indices, into_noise, into_coefficients = self._inputs
        into_indices.copy_(indices)
        into_coefficients.copy_(coefficients)
        for name, value in noise.items():
            into_noise[name].copy_(value)
        self._graph.replay()
        return self._metrics

    def _capture(self, indices: Tensor, noise: Mapping[str, Tensor], coefficients: Tensor) -> None:
        copies = {name: value.clone() for name, value in noise.items()}
        self._inputs = (indices.clone(), copies, coefficients.clone())
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._metrics = self._update(*self._inputs)
        self._graph = graph
