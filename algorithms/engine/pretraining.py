"""What of a method its pretraining is: who has the same may share one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from algorithms.source import code_digest, is_shared

if TYPE_CHECKING:  # who plans runs has no need of torch
    from algorithms.base import Algorithm


def set_up(algorithm: Algorithm[Any]) -> dict[str, Any]:
    """What `create` made of the pretraining, as plain data."""
    stages = algorithm.stages[: algorithm.pretraining_stages]
    phases = [phase for stage in stages for phase in stage.phases]
    losses = [_unbound(phase.loss) for phase in phases]
    trained = sorted({name for phase in phases for name in phase.trains})
    networks = {name: algorithm.networks[name] for name in trained}
    return {
        "stages": [(stage.share, sorted(stage.copies.items())) for stage in stages],
        "phases": [(phase.trains, phase.every, phase.updates_targets) for phase in phases],
        "losses": [f"{loss.__module__}.{loss.__qualname__}" for loss in losses],
        "given": [repr(list(_given(phase.loss))) for phase in phases],
        "networks": {name: repr(network) for name, network in networks.items()},
        "optimizers": {name: repr(algorithm.optimizers[name]) for name in trained},
        "targets": {name: algorithm.targets.get(name) for name in trained},
        "noise": {name: repr(noise) for name, noise in algorithm.noise.items()},
        "code": own_code(
            {loss.__module__ for loss in losses}
            | {type(network).__module__ for network in networks.values()}
        ),
    }


def _unbound(loss: Callable[..., Any]) -> Any:
    """The function that was written, whatever arguments it has been given already."""
    return _unbound(loss.func) if isinstance(loss, functools.partial) else loss


def _given(loss: Callable[..., Any]) -> Iterator[Any]:
    """Numbers and words among the arguments that a loss has been given already."""
    if isinstance(loss, functools.partial):
        yield from _given(loss.func)
        for name, value in [*enumerate(loss.args), *sorted(loss.keywords.items())]:
            if isinstance(value, int | float | str):
                yield name, value


def own_code(modules: Iterable[str]) -> str:
    """A digest of what of it the engine's version does not stand for; empty if there is none."""
    own = [module for module in modules if not is_shared(module)]
    return code_digest(*own) if own else ""
