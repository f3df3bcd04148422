"""Tries how a method acts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from algorithms.base import Algorithm
from algorithms.declared import declared_at
from algorithms.engine.preflight.attempt import ROUNDING, attempt, here_note, kind, same
from algorithms.engine.preflight.inputs import Inputs, Sizes
from algorithms.engine.preflight.watch import call
from algorithms.errors import AlgorithmError, definition, name_of


def check_acting(
    method: Algorithm[Any],
    act: Callable[..., Any],
    inputs: Inputs,
    sizes: Sizes,
    *,
    ranks: bool,
) -> None:
    """Catches actions of a wrong shape, not finite, random of their own, or mixed over seeds.

    ranks: whether candidates are ranked by `action_value`.
    """

    def run(given: Inputs, seeds: int) -> Tensor:
        copied, here = given.copied(), sizes._replace(seeds=seeds)
        nets, observations, noise = copied.nets(method), copied.observations, copied.act_noise
        note = here_note(here)
        actions: Tensor = attempt(cls, of_act, call, act, nets, observations, noise, note=note)
        shape = (seeds, sizes.observations, method.action_dim)
        if problem := _problem(actions, shape, f"[S, E, {method.action_dim}]", here):
            raise AlgorithmError(f"{name_of(act)} must return {problem}", of_act())
        if ranks:
            value, clipped = method.action_value, actions.clamp(-1, 1)
            values = attempt(cls, of_value, call, value, nets, observations, clipped)
            if problem := _problem(values, shape[:2], "[S, E]", here):
                raise AlgorithmError(f"action_value must return {problem}", of_value())
        return actions

    cls = type(method)
    of_act = functools.partial(definition, act, cls)
    of_value = functools.partial(_of_value, cls)
    with torch.no_grad():
        alone = inputs.after(1)
        actions, again = (run(alone, sizes.seeds) for _ in range(2))
        if not same(actions, again, 0.0):
            raise AlgorithmError(
                "twice the same observations and noise gave two actions: random numbers must come "
                "from self.act_noise",
                of_act(),
            )
        if not same(actions, run(inputs, sizes.seeds + 1)[1:], ROUNDING):
            sentence = "seeds mix: the actions of one seed change with the other seeds"
            raise AlgorithmError(sentence, of_act())


def _of_value(cls: type[Algorithm[Any]]) -> str:
    """Where a method says how candidates are ranked: its `action_value`, else its critic."""
    if cls.action_value is Algorithm.action_value:
        return declared_at(cls, "networks", "critic")
    return definition(cls.action_value, cls)


def _problem(found: Any, shape: tuple[int, ...], expected: str, sizes: Sizes) -> str:
    """What an output should be and is not; nothing if all is well."""
    if not isinstance(found, Tensor) or found.shape != shape or not found.is_floating_point():
        return f"a tensor of floats {expected}, found {kind(found, sizes)}"
    if not found.isfinite().all():
        return "finite numbers, and does not at the initial parameters"
    return ""
