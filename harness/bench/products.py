"""The matrix products of an update: their FLOP, and how fast this core does most of them.

That is an update's lower bound: whatever else it does, it does not do in less time than its
products, and a compiler can hide much of the rest but not them.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from algorithms.engine.engine import Engine


class Product(NamedTuple):
    """The shapes of `[matrices, rows, inner] x [matrices, inner, columns]`."""

    matrices: int
    rows: int
    inner: int
    columns: int

    @property
    def flop(self) -> int:
        """Multiplications and additions."""
        return 2 * math.prod(self)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the products that run while it is entered, those of backward passes included."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.products: Counter[Product] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> torch.Tensor:
        if func in (torch.ops.aten.bmm.default, torch.ops.aten.mm.default):
            x, y = args
            rows, inner = x.shape[-2:]
            self.products[Product(math.prod(x.shape[:-2]), rows, inner, y.shape[-1])] += 1
        result: torch.Tensor = func(*args, **(kwargs or {}))
        return result


def enter_stage(engine: Engine, stage: int) -> None:
    """Go to where a stage begins, numbered from 0, without the training before it."""
    for _ in range(stage):
        engine.step = engine.stage_end


def count_products(engine: Engine, stage: int) -> dict[Product, float]:
    """The products of an update of a stage, and how often it does each.

    Args:
        engine: not compiled, and fresh; it takes a few updates.
        stage: numbered from 0. Phases that not every update takes count by how often they are.
    """
    enter_stage(engine, stage)
    cycle = math.lcm(*(phase.every for phase in engine.algorithm.stages[stage].phases))
    engine.train(cycle)  # not counted: what a stage does before its first update
    counted = record_products(lambda: engine.train(cycle))
    return {product: times / cycle for product, times in counted.items()}


def record_products(run: Callable[[], object]) -> Counter[Product]:
    """The products that something does, and how often it does each."""
    with _Recorder() as recorder:
        run()
    products: Counter[Product] = recorder.products
    return products


def total_flop(products: dict[Product, float]) -> float:
    """Of all products of an update."""
    return sum(times * product.flop for product, times in products.items())


def dominant(products: dict[Product, float]) -> Product:
    """The shapes that more of an update's FLOP are in than in any others."""
    return max(products, key=lambda product: products[product] * product.flop)


class ProductTimer:
    """Does one product again and again, on operands that stay in the cache if they fit."""

    def __init__(self, product: Product) -> None:
        matrices, rows, inner, columns = product
        self._flop = product.flop
        self._x, self._y = torch.randn(matrices, rows, inner), torch.randn(matrices, inner, columns)
        self._result = torch.empty(matrices, rows, columns)

    def rate(self, seconds: float) -> float:
        """FLOP a CPU-second, over that many of them."""
        done, start = 0, time.process_time()
        while (elapsed := time.process_time() - start) < seconds:
            torch.bmm(self._x, self._y, out=self._result)
            done += self._flop
        return done / elapsed
