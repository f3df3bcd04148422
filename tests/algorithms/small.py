"""Engines small enough to run in milliseconds, for any registered algorithm."""

from __future__ import annotations

from typing import Any

import numpy as np

from algorithms import registry
from algorithms.engine.engine import Engine
from algorithms.networks import Network
from algorithms.registry import ABLATIONS, resolve_config
from algorithms.transitions import Transitions

OBS_DIM, ACTION_DIM = 3, 2
FEW = {
    "flow_steps": 3,
    "diffusion_steps": 3,
    "context": 3,
    "warmup_steps": 3,
    "embedding_dim": 16,
    "vae_hidden_dims": (16, 16),
    "heads": 2,
    "bins": 10,
    "horizon": 2,
    "beam_width": 4,
    "block_dims": (16, 16),
}


def make_engine(
    algorithm_id: str,
    transitions: Transitions,
    seeds: tuple[int, ...] = (0, 1),
    *,
    total_steps: int = 40,
    online_steps: int = 0,
    compile: bool = False,  # noqa: A002
    device: str = "cpu",
    known_q: Network | None = None,
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
        total_steps=total_steps,
        online_steps=online_steps,
        compile=compile,
        device=device,
        known_q=known_q,
    )


def every_algorithm() -> list[str]:
    return list(registry.algorithms())


def compared_methods() -> list[str]:
    """Without ablations: their learning is tested where their choices are."""
    return [name for name, entry in registry.algorithms().items() if entry.family != ABLATIONS]


def states_equal(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)
