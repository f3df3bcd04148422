"""Watches a method's code as it runs: what it reads out of tensors, and random numbers it draws."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from algorithms.errors import AlgorithmError

_BRANCHES = {"__bool__", "__contains__", "is_nonzero", "equal", "allclose"}
_READS = {
    "__float__": "float(tensor)",
    "__int__": "int(tensor)",
    "__index__": "a tensor as an index",
    "__complex__": "complex(tensor)",
    "item": ".item()",
    "tolist": ".tolist()",
    "numpy": ".numpy()",
    "__array__": "a NumPy function of a tensor",
}


class _StayTensors(TorchFunctionMode):
    """Refuses, out of the author's line, to take values out of tensors."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if (name in _BRANCHES or name in _READS) and not _asked_by_torch(name):
            raise AlgorithmError(_reading(name))
        return func(*args, **(kwargs or {}))


def _asked_by_torch(name: str) -> bool:
    """Whether torch's own code wants a value: distributions check their arguments so."""
    frame = sys._getframe(2)
    while frame.f_back and frame.f_code.co_name in {name, "handle_torch_function"}:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__")).startswith("torch.")


class _DrawNothing(TorchFunctionMode):
    """Refuses, out of the author's line, to move torch's global random stream. Slow."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        before = torch.default_generator.get_state()
        result = func(*args, **(kwargs or {}))
        if not torch.equal(before, torch.default_generator.get_state()):
            raise AlgorithmError(_OWN_NOISE.format(getattr(func, "__name__", "torch")))
        return result


_OWN_NOISE = (
    "'{}' draws random numbers of its own, which no seed and no resumption governs: declare the "
    "noise in self.noise (self.act_noise for acting) and read noise['…']"
)


def _reading(name: str) -> str:
    if name in _BRANCHES:
        return (
            "a Python branch on a tensor's values (if, while, and, or, not, min, max, in) decides "
            "for all seeds and transitions at once: use torch.where"
        )
    return f"{_READS[name]} takes numbers out of tensors, which mixes or stalls seeds: use torch"


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` returns.

    Raises AlgorithmError, out of the author's line, for what no loss and no policy may do: branch
    on tensors, take values out of them, draw random numbers of its own.
    """
    before = random.getstate(), _numpys(), torch.default_generator.get_state()
    with _StayTensors():
        result = function(*arguments)
    if not torch.equal(before[2], torch.default_generator.get_state()):
        with _DrawNothing():
            function(*arguments)
    if before[:2] != (random.getstate(), _numpys()):
        raise AlgorithmError(_OWN_NOISE.format("random or numpy.random"))
    return result


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Leaves the global random streams of Python, NumPy and torch as they were."""
    python, numpys = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpys)


def _numpys() -> tuple[Any, ...]:
    """NumPy's global stream, comparable."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return name, np.asarray(keys).tobytes(), *rest
