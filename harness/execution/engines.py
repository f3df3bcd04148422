"""The engine that trains the runs of a spec, and the trial of their method before it does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from algorithms import registry
from algorithms.base import Algorithm, Config
from algorithms.engine.engine import Engine
from algorithms.engine.preflight import check
from algorithms.transitions import Transitions
from harness.errors import UserError
from harness.execution.machine import settle_compiled_code
from harness.runs.spec import RunSpec
from harness.suite.abilities import cannot_act
from harness.tasks import known_q_of


def make_engine(spec: RunSpec, seeds: Sequence[int], transitions: Transitions) -> Engine:
    """An untrained engine for `seeds` of a run, which otherwise share their spec.

    Raises UserError if it is to be compiled, and compiled code can be loaded from nowhere.
    """
    if spec.compiled:
        settle_compiled_code()
    config = config_of(spec)
    return Engine(
        spec.algorithm,
        config,
        transitions,
        seeds,
        offline_steps=spec.steps,
        online_steps=spec.online_steps,
        precision=spec.precision,
        device=spec.device,
        compile=spec.compiled,
        known_q=known_q_of(spec.task, config),
    )


def check_method(spec: RunSpec, transitions: Transitions) -> list[str]:
    """Try a run's method on a tiny made-up batch; returns remarks.

    Raises AlgorithmError for a mistake in it.
    """
    config, evaluation = config_of(spec), spec.evaluation
    return check(
        registry.load(spec.algorithm),
        config,
        transitions.obs_dim,
        transitions.action_dim,
        known_q=known_q_of(spec.task, config),
        online=spec.online_steps > 0,
        selections=[*filter(None, [evaluation.action_selection]), *evaluation.action_selections],
    )


def selection_of(spec: RunSpec, algorithm: Algorithm[Any], asked: str | None = None) -> str:
    """The action selection asked for, or the run's own: what its suite says, or its method.

    Raises UserError for one that is none, or that the method does not support.
    """
    name = asked or spec.evaluation.action_selection or algorithm.action_selection
    try:
        supported = algorithm.supports(name)
    except ValueError as error:
        raise UserError(f"{error}.") from error
    if not supported:
        raise UserError(cannot_act(algorithm, spec.algorithm, name))
    return name


def config_of(spec: RunSpec) -> Config:
    """The resolved config of a run. Raises ValueError if it is none of its method."""
    config_class = registry.load(spec.algorithm).Config
    return config_class.model_validate_json(json.dumps(spec.config))
