"""Tries a method before it trains: every loss and `act` once, uncompiled, on a tiny made-up batch.

What a run would take hours to show, or never, stops here with one sentence and the author's line.
Everything is done to a method and parameters of its own, with random streams of its own: a run that
follows has the same bits as without.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from algorithms.action_selection import parse_action_selection
from algorithms.base import Algorithm, Config
from algorithms.engine.preflight.acting import check_acting
from algorithms.engine.preflight.attempt import attempt
from algorithms.engine.preflight.columns import check_columns
from algorithms.engine.preflight.declarations import check_copies, check_declarations
from algorithms.engine.preflight.inputs import Inputs, Sizes, make_inputs, online_batch
from algorithms.engine.preflight.losses import PhaseTrial
from algorithms.engine.preflight.reads import not_declared, noting
from algorithms.engine.preflight.watch import random_state_kept
from algorithms.errors import AlgorithmError, definition
from algorithms.networks import Network


def check(
    cls: type[Algorithm[Any]],
    config: Config,
    obs_dim: int,
    action_dim: int,
    *,
    known_q: Network | None = None,
    online: bool = False,
    selections: Sequence[str] = (),
) -> list[str]:
    """Try a method as a run would use it; returns remarks on what is odd and may be meant.

    Args:
        cls: the method.
        config: its resolved config.
        obs_dim: length of one observation.
        action_dim: length of one action.
        known_q: the task's closed-form Q, for a config with `known_q`.
        online: whether the run goes on online.
        selections: action selections that the run will ask for, beside the method's own.

    Raises AlgorithmError at the first mistake.
    """
    create = functools.partial(cls, obs_dim=obs_dim, action_dim=action_dim, known_q=known_q)
    with random_state_kept():
        in_create = functools.partial(definition, cls.create, cls)
        method = attempt(cls, in_create, create, config)
        attempt(cls, in_create, check_declarations, method, online)
        sizes = trial_sizes(method)
        # A loss may rely on the batch size that its config names.
        tried = {**cls.cheap, "batch_size": sizes.transitions}
        read: dict[str, str] = {}
        method = create(noting(config.model_copy(update=tried), cls, read))
        inputs = attempt(cls, in_create, make_inputs, method, sizes, sizes.seeds + 1)
        attempt(cls, in_create, check_copies, method, inputs.params)
        remarks = []
        read.clear()  # what create makes of settings is compared as it is made
        for number, stage in enumerate(method.stages, 1):
            check_columns(method, number - 1, inputs, sizes)
            for phase in stage.phases:
                remarks += PhaseTrial(method, phase, inputs, sizes).check()
            if number == method.pretraining_stages and cls.Pretraining is not None:
                by_author = {name: where for name, where in read.items() if where}
                for sentence, where in not_declared(cls, by_author):
                    raise AlgorithmError(sentence, where)
        if online:
            seen = inputs.batch if method.online_returns else online_batch(inputs.batch)
            mixed = Inputs(**{**vars(inputs), "batch": seen})
            for phase in method.online_stage().phases:
                remarks += PhaseTrial(method, phase, mixed, sizes).check()
        ways = [method.action_selection, *filter(method.supports, selections)]
        ranks = any(parse_action_selection(way).candidates > 1 for way in ways)
        acts = [stage.act or method.act for stage in method.stages]
        for act in dict.fromkeys([*acts, method.act]):
            check_acting(method, act, inputs, sizes, ranks=ranks)
    return remarks


def trial_sizes(method: Algorithm[Any]) -> Sizes:
    """Of the trial, unlike any size that the method's networks and settings have."""
    taken = {method.obs_dim, method.action_dim}
    for settings in (method.config, *method.networks.values()):
        fields = getattr(settings, "__dict__", {})
        taken.update(_integers(fields.values()))
    return Sizes.free(taken)


def _integers(values: Iterable[Any]) -> Iterator[int]:
    """Those among values, and in lists and tuples of them, as widths of layers are."""
    for value in values:
        if isinstance(value, int):
            yield value
        elif isinstance(value, tuple | list):
            yield from _integers(value)
