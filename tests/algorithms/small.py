"""Engines small enough to run in milliseconds, for any registered algorithm."""

from __future__ import annotations

from typing import Any

import numpy as np

from algorithms import registry
from algorithms.engine import Engine
from algorithms.registry import resolve_config
from algorithms.transitions import Transitions

OBS_DIM, ACTION_DIM = 3, 2


def make_engine(
    algorithm_id: str,
    transitions: Transitions,
    seeds: tuple[int, ...] = (0, 1),
    *,
    total_steps: int = 40,
    compile: bool = False,  # noqa: A002
    **overrides: Any,
) -> Engine:
    small = {"hidden_dims": (16, 16), "batch_size": 32, **overrides}
    config = resolve_config(algorithm_id, small)
    return Engine(
        algorithm_id, config, transitions, seeds, total_steps=total_steps, compile=compile
    )


def every_algorithm() -> list[str]:
    return list(registry.entries())


def states_equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)
