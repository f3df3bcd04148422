"""What a suite asks of its methods that these cannot do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from algorithms import registry
from algorithms.action_selection import parse_action_selection
from algorithms.base import Algorithm
from harness.suite.configs import Configs
from harness.suite.entry import Overrides
from harness.suite.schema import Suite
from harness.suite.yaml_file import Problem
from harness.tasks.spec import TaskSpec

_MADE_UP_SIZES = 3, 2  # of observations and actions: no size changes what a method can do


def ability_problems(suite: Suite, tasks: Sequence[TaskSpec], configs: Configs) -> list[Problem]:
    """Entries that are to go on online, or to act, as their methods cannot."""
    return [*_online_problems(suite), *_acting_problems(suite, tasks, configs)]


def cannot_act(algorithm: Algorithm[Any], algorithm_id: str, selection: str) -> str:
    """That a method does not support an action selection, as a sentence."""
    reason = "only noise that a policy has can be scaled, and only a critic can choose."
    asked = parse_action_selection(selection)
    choosing = f"best-of-{asked.candidates}"
    if asked.softmax and algorithm.supports(choosing):
        reason = (
            "a softmax over values needs a temperature, and the method sets no "
            f"`selection_temperature`. '{choosing}' it can."
        )
    return (
        f"{registry.algorithms()[algorithm_id].title} cannot act by '{selection}': {reason} "
        f"By itself it acts by '{algorithm.action_selection}'."
    )


def _online_problems(suite: Suite) -> Iterator[Problem]:
    """Entries that cannot go on online, in a suite that asks for it."""
    if not suite.training.online_steps:
        return
    used = {label: entry.algorithm or label for label, entry in suite.algorithms.items()}
    able = {name: registry.load(name).learns_online() for name in used.values()}
    for label, algorithm in used.items():
        if not able[algorithm]:
            others = ", ".join(name for name, algorithm in used.items() if able[algorithm])
            yield Problem(
                ("algorithms", label),
                f"{algorithm} learns from data alone: leave it out, or set training.online_steps "
                f"to 0 (entries here that can go on online: {others or 'none'})",
            )


def _acting_problems(
    suite: Suite, tasks: Sequence[TaskSpec], configs: Configs
) -> Iterator[Problem]:
    """Entries with an action selection that their method does not support as it is set there."""
    for label, entry in suite.algorithms.items():
        if entry.action_selection is None:
            continue
        refused = (
            _refusal(row.algorithm, configs[task.id, row.label], entry.action_selection)
            for row in suite.rows
            if row.base == label
            for task in tasks
            if row.runs_on(task.id)
        )
        if message := next(filter(None, refused), ""):
            yield Problem(("algorithms", label, "action_selection"), message.removesuffix("."))


def _refusal(algorithm_id: str, values: Overrides, selection: str) -> str:
    """That a method with these settings cannot act so; empty if it can."""
    method = registry.load(algorithm_id)
    if parse_action_selection(selection) == parse_action_selection(method.action_selection):
        return ""
    # Whether values are learned or known makes no difference to who can choose by them.
    config = method.Config.model_validate_json(json.dumps({**values, "known_q": False}))
    try:
        algorithm = method(config, *_MADE_UP_SIZES)
    except Exception:  # its author's mistake, which its trial explains
        return ""
    supported = algorithm.supports(selection)
    return "" if supported else cannot_act(algorithm, algorithm_id, selection)
