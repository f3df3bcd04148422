"""One update of a stage: gather, gradients, Adam, targets; compiled, and on a GPU graphed.

It is one function of learning state, data, indices and noise, and draws nothing.
"""

from __future__ import annotations

import copy
import functools
import itertools
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from algorithms.base import Algorithm, Networks
from algorithms.engine.batches import Batches
from algorithms.engine.compiled_files import delete_unfinished_libraries
from algorithms.engine.cuda_graph import GraphedUpdate
from algorithms.engine.divergence import LossWatch
from algorithms.engine.learning_state import LearningState
from algorithms.engine.online_buffer import Mixture, OnlineBuffer
from algorithms.engine.optimizer import adam_step
from algorithms.engine.precision import loss_products
from algorithms.engine.schedule import Schedule
from algorithms.fields import Precision
from algorithms.networks import Params

_MOST_UPDATES = 10_000  # that a process may compile

Update = Callable[..., dict[str, Tensor]]
"""(indices or mixture, noise, Adam's coefficients) -> metrics; changes the state in place."""


class Updates:
    """The updates of every stage, each made once.

    Args:
        algorithm: whose losses and optimisers they are.
        schedule: its stages, of which the one after the algorithm's own is online.
        state: what they change.
        batches: the data.
        online: what the learners have seen for themselves.
        watch: is shown the losses of every update, in the order of `losses`.
        compiled: use `torch.compile`.
        precision: of the losses' products.
    """

    def __init__(
        self,
        algorithm: Algorithm[Any],
        schedule: Schedule,
        state: LearningState,
        batches: Batches,
        online: OnlineBuffer,
        watch: LossWatch,
        *,
        compiled: bool,
        precision: Precision,
    ) -> None:
        self._algorithm = algorithm
        self._schedule = schedule
        self._state = state
        self._batches = batches
        self._online = online
        self._watch = watch
        self._compiled = compiled
        self._precision = precision
        self._order = {name: i for i, name in enumerate(algorithm.optimizers)}
        self._made: dict[tuple[int, tuple[bool, ...]], Update] = {}

    def is_made(self, index: int, due: tuple[bool, ...]) -> bool:
        """Whether that update has been asked for before, and so is compiled."""
        return (index, due) in self._made

    def of_stage(self, index: int, due: tuple[bool, ...]) -> Update:
        """The update of stage `index` in which those of its phases are taken that are `due`."""
        key = (index, due)
        if key not in self._made:
            update: Update = functools.partial(self._update, index, due)
            if self._compiled:
                # Its default, 8, is of all updates of a process together, as they share their code.
                delete_unfinished_libraries()
                torch._dynamo.config.recompile_limit = _MOST_UPDATES
                torch._dynamo.config.accumulated_recompile_limit = _MOST_UPDATES
                compiled = torch.compile(update, fullgraph=True, dynamic=False)
                update = functools.partial(self._explained, compiled, index, due)
            offline = index < len(self._algorithm.stages)
            if offline and self._batches.device.type == "cuda":
                update = GraphedUpdate(update)
            self._made[key] = update
        return self._made[key]

    def losses(self, index: int, due: tuple[bool, ...], logged: Iterable[str]) -> list[str]:
        """What the losses of an update are called: those it logs, then what each phase minimises.

        logged: the names of its metrics, in its order.
        """
        phases = itertools.compress(self._schedule.stages[index].phases, due)
        totals = [f"the loss of {' and '.join(phase.trains)}" for phase in phases]
        return [*filter(_is_loss, logged), *totals]

    def _explained(
        self, compiled: Update, index: int, due: tuple[bool, ...], *arguments: Any
    ) -> dict[str, Tensor]:
        """The compiled update; where compiling fails, the error that uncompiled code raises.

        It says what is wrong in the author's terms, and its frames are the author's.
        """
        try:
            return compiled(*arguments)
        except Exception as error:
            if type(error).__module__.startswith("torch._dynamo"):
                state = copy.deepcopy(self._state)
                parts = (self._algorithm, self._schedule, state, self._batches, self._online)
                eager = Updates(*parts, self._watch, compiled=False, precision=self._precision)
                eager._update(index, due, *arguments)
            raise

    def _update(
        self,
        index: int,
        due: tuple[bool, ...],
        drawn: Tensor | Mixture,
        noise: Mapping[str, Tensor],
        coefficients: Tensor,
    ) -> dict[str, Tensor]:
        """Gather a batch by indices `[S, B]`, then take every phase that is due."""
        algorithm, state = self._algorithm, self._state
        if isinstance(drawn, Mixture):
            batch = self._batches.gather_mixed(drawn, self._online)
        else:
            batch = self._batches.gather(drawn)
        metrics: dict[str, Tensor] = {}
        totals: list[Tensor] = []
        for phase, is_due in zip(self._schedule.stages[index].phases, due, strict=True):
            if not is_due:
                continue

            def loss(
                trained: dict[str, Params], phase: Any = phase
            ) -> tuple[Tensor, tuple[Tensor, dict[str, Tensor]]]:
                params = {**state.params, **trained}
                nets = Networks(algorithm.networks, params, state.params, state.targets)
                with loss_products(self._precision, self._batches.device):
                    losses, info = phase.loss(nets, batch, noise)
                # The seeds share no parameter, so the gradient of the sum is each one's own.
                return losses.sum(), (losses.detach(), {k: v.detach() for k, v in info.items()})

            trained = {name: state.params[name] for name in phase.trains}
            gradients, (total, info) = torch.func.grad(loss, has_aux=True)(trained)
            totals.append(total)
            metrics |= info
            assigned: Mapping[str, Params] = {}
            if phase.assigns is not None:
                nets = Networks(algorithm.networks, state.params, state.params, state.targets)
                assigned = phase.assigns(nets, batch, noise)
            for name in phase.trains:
                adam_step(
                    algorithm.optimizers[name],
                    state.params[name],
                    gradients[name],
                    state.means[name],
                    state.squares[name],
                    coefficients[self._order[name]],
                )
            for name, params in assigned.items():
                for key, value in params.items():
                    state.params[name][key].copy_(value)
            for name in phase.updates_targets:
                tau = algorithm.targets[name]
                for key, value in state.params[name].items():
                    state.targets[name][key].lerp_(value, tau)
        self._watch.look([*(v for k, v in metrics.items() if _is_loss(k)), *totals])
        return metrics


def _is_loss(metric: str) -> bool:
    """Whether a metric is a loss: by its name, as in `critic/loss` and `actor/bc_loss`."""
    return metric.endswith("loss")


@functools.cache
def compiler_exists(device: torch.device) -> bool:
    """Whether `torch.compile` can work on the device; warns once if not."""
    if device.type == "cpu" and not any(shutil.which(c) for c in ("g++", "clang++", "c++")):
        warnings.warn(
            "no C++ compiler found: training runs uncompiled, about half as fast "
            "(install g++ and start again)",
            stacklevel=3,
        )
        return False
    return True
