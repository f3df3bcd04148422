"""The engines that train: the runs of a spec, and what learns online alone."""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch

from algorithms import registry
from algorithms.base import Config
from algorithms.engine import Engine
from algorithms.transitions import Transitions
from harness.spec import RunSpec
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


def make_online_engine(
    algorithm: str, config: Config, replay: Transitions, seeds: Sequence[int], steps: int
) -> Engine:
    """An untrained engine that has no offline steps, for up to `steps` online ones.

    Its bits are to depend on nothing but its arguments, as data are made with it: so it leaves this
    process one thread for sums, and is not compiled, which a machine without a compiler could not.

    Args:
        algorithm: its id.
        config: of the algorithm, resolved.
        replay: what the replay buffers start with.
        seeds: one learner each.
        steps: the room in the replay buffers.
    """
    torch.set_num_threads(1)
    return Engine(
        algorithm, config, replay, seeds, total_steps=0, online_steps=steps, compile=False
    )
