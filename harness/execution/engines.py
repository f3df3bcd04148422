"""The engine that trains the runs of a spec."""

from __future__ import annotations

import json
from collections.abc import Sequence

from algorithms import registry
from algorithms.engine.engine import Engine
from algorithms.engine.transitions import Transitions
from harness.runs.spec import RunSpec
from harness.tasks import known_q


def make_engine(spec: RunSpec, seeds: Sequence[int], transitions: Transitions) -> Engine:
    """An untrained engine for `seeds` of a run, which otherwise share their spec."""
    config_class = registry.load(spec.algorithm).Config
    config = config_class.model_validate_json(json.dumps(spec.config))
    return Engine(
        spec.algorithm,
        config,
        transitions,
        seeds,
        total_steps=spec.steps,
        online_steps=spec.online_steps,
        precision=spec.precision,
        device=spec.device,
        compile=spec.compiled,
        known_q=known_q(spec.task) if config.known_q else None,
    )
