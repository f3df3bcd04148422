"""Engines small enough to run in milliseconds, for any registered algorithm."""

from __future__ import annotations

from typing import Any

from algorithms import registry
from algorithms.contract.subject import ACTION_DIM, FEW, OBS_DIM, states_equal
from algorithms.engine.engine import Engine
from algorithms.fields import Precision
from algorithms.networks import Network
from algorithms.registry import ABLATIONS, resolve_config
from algorithms.transitions import Transitions

__all__ = [
    "ACTION_DIM",
    "OBS_DIM",
    "compared_methods",
    "every_algorithm",
    "make_engine",
    "states_equal",
]


def make_engine(
    algorithm_id: str,
    transitions: Transitions,
    seeds: tuple[int, ...] = (0, 1),
    *,
    offline_steps: int = 40,
    online_steps: int = 0,
    compile: bool = False,  # noqa: A002
    device: str = "cpu",
    known_q: Network | None = None,
    alone: bool = False,
    precision: Precision = "fp32",
    **overrides: Any,
) -> Engine:
    fields = registry.load(algorithm_id).Config.model_fields
    few = {name: value for name, value in FEW.items() if name in fields}
    small = {"hidden_dims": (16, 16), "batch_size": 32, **few, **overrides}
    if known_q:
        small = {"known_q": True, "normalize_observations": False, **small}
    config = resolve_config(algorithm_id, small)
    return Engine(
        algorithm_id,
        config,
        transitions,
        seeds,
        offline_steps=offline_steps,
        online_steps=online_steps,
        compile=compile,
        device=device,
        known_q=known_q,
        alone=alone,
        precision=precision,
    )


def every_algorithm() -> list[str]:
    return list(registry.algorithms())


def compared_methods() -> list[str]:
    """Without ablations: their learning is tested where their choices are."""
    return [name for name, entry in registry.algorithms().items() if entry.family != ABLATIONS]
