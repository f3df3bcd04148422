"""Tries the losses of a method."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from algorithms.base import Algorithm, Phase
from algorithms.declared import declared_at
from algorithms.engine.preflight.attempt import ROUNDING, attempt, here_note, kind, same
from algorithms.engine.preflight.inputs import Inputs, Sizes
from algorithms.engine.preflight.watch import call
from algorithms.errors import AlgorithmError, definition, name_of


@dataclass(frozen=True)
class _Result:
    """What a phase's loss returned, and the parameters that it may have a gradient of."""

    loss: Tensor  # [S]
    metrics: Mapping[str, Tensor]  # [S] each
    trained: Mapping[str, Mapping[str, Tensor]]


class PhaseTrial:
    """A phase's loss, run on the inputs of S seeds and on those of one more before them."""

    def __init__(self, method: Algorithm[Any], phase: Phase, inputs: Inputs, sizes: Sizes) -> None:
        self.method, self.phase, self.sizes = method, phase, sizes
        self._inputs = inputs
        self._name = name_of(phase.loss)
        self._where = functools.partial(definition, phase.loss, type(method))

    def check(self) -> list[str]:
        """All checks, in the order in which one mistake could pass for another."""
        alone = self._inputs.after(1)
        result = self._run(alone, self.sizes.seeds)
        self._repeats(result, self._run(alone, self.sizes.seeds))
        self._keeps_seeds_apart(result, self._run(self._inputs, self.sizes.seeds + 1))
        gradients = self._gradients(result)
        self._gradients_stay_apart(gradients)
        return self._is_a_number(result) + self._reaches_what_it_trains(gradients)

    def _wrong(self, sentence: str) -> AlgorithmError:
        return AlgorithmError(sentence, self._where())

    def _run(self, inputs: Inputs, seeds: int) -> _Result:
        """The loss once, of the right kind and shape."""
        copied = inputs.copied()
        trained = {
            name: {k: v.detach().requires_grad_() for k, v in copied.params[name].items()}
            for name in self.phase.trains
        }
        nets = copied.nets(self.method, trained)
        sizes = self.sizes._replace(seeds=seeds)
        arguments = (self.phase.loss, nets, copied.batch, copied.noise)
        found = attempt(type(self.method), self._where, call, *arguments, note=here_note(sizes))
        if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], Mapping):
            raise self._wrong(f"a loss must return (loss, metrics), found {kind(found, sizes)}")
        self._is_one_number_a_seed(found[0], sizes)
        self._metrics_are_too(found[1], sizes)
        return _Result(*found, trained)

    def _is_one_number_a_seed(self, loss: Any, sizes: Sizes) -> None:
        """Catches a loss averaged over seeds, or not averaged over transitions."""
        if not isinstance(loss, Tensor) or not loss.is_floating_point():
            raise self._wrong(f"a loss must be a tensor of floats [S], found {kind(loss, sizes)}")
        if loss.shape != (sizes.seeds,):
            advice = ": average over all but the seed axis" if loss.ndim != 1 else ""
            raise self._wrong(
                f"a loss must have one number per seed, [S], found {kind(loss, sizes)}{advice}"
            )

    def _metrics_are_too(self, metrics: Mapping[Any, Any], sizes: Sizes) -> None:
        """Catches metrics that cannot be recorded a seed, or that no heading would hold."""
        for name, value in metrics.items():
            if not isinstance(value, Tensor) or value.shape != (sizes.seeds,):
                raise self._wrong(
                    f"the metric '{name}' must be a tensor with one number per seed, [S], found "
                    f"{kind(value, sizes)}"
                )
            if not isinstance(name, str) or "/" not in name:
                raise self._wrong(
                    f"the metric '{name}' needs a name with a group, such as 'critic/{name}'"
                )

    def _repeats(self, first: _Result, second: _Result) -> None:
        """Catches random numbers of an own generator: equal inputs must give equal bits."""
        if not same(first.loss, second.loss, 0.0):
            raise self._wrong(
                "twice the same inputs and noise gave two losses: random numbers must come from "
                "self.noise, and a loss must keep nothing between calls"
            )

    def _keeps_seeds_apart(self, few: _Result, more: _Result) -> None:
        """Catches sums and broadcasts over seeds: another neighbour must change nothing."""
        numbers = [("the loss", few.loss, more.loss)]
        numbers += [
            (f"the metric '{name}'", value, more.metrics[name])
            for name, value in few.metrics.items()
            if name in more.metrics
        ]
        for what, value, beside in numbers:
            if not same(value, beside[1:], ROUNDING):
                raise self._wrong(f"seeds mix: {what} of one seed changes with the other seeds")

    def _gradients_stay_apart(self, of_network: Mapping[str, Sequence[Tensor]]) -> None:
        """Catches a mixture that values hide: d loss_1 / d parameters of another seed is zero."""
        for name, gradients in of_network.items():
            for gradient in gradients:
                others = gradient[torch.arange(len(gradient)) != 1]
                if (torch.isfinite(others) & (others != 0)).any():
                    raise self._wrong(
                        f"seeds mix: the loss of one seed has a gradient of another's '{name}'"
                    )

    def _gradients(self, result: _Result) -> dict[str, list[Tensor]]:
        """Of the second seed's loss, by network; without parameters that it does not reach."""
        by_name: dict[str, list[Tensor]] = {name: [] for name in result.trained}
        if not result.loss.requires_grad:
            return by_name
        leaves = [(name, v) for name, params in result.trained.items() for v in params.values()]
        found = torch.autograd.grad(result.loss[1], [leaf for _, leaf in leaves], allow_unused=True)
        for (name, _), gradient in zip(leaves, found, strict=True):
            if gradient is not None:
                by_name[name].append(gradient)
        return by_name

    def _is_a_number(self, result: _Result) -> list[str]:
        """Catches a loss that is never a number; one that is infinite here may yet recover."""
        if result.loss.isnan().all():
            online = self._inputs.batch.returns.isnan().any()
            hint = " (while a method interacts, batch.returns has NaN)" if online else ""
            raise self._wrong(f"the loss is NaN for every seed from the start{hint}")
        if not result.loss.isfinite().all():
            return [f"{self._name}: the loss is not finite at the initial parameters"]
        return []

    def _reaches_what_it_trains(self, gradients: Mapping[str, Sequence[Tensor]]) -> list[str]:
        """Catches networks in `trains` that the loss does not depend on, or only detached."""
        remarks, cls = [], type(self.method)
        for name in self.phase.trains:
            if not gradients[name]:
                sentence = (
                    f"{self._name} trains '{name}' but its loss has no gradient of it: use "
                    f"nets.{name} there, without detach, or leave it out of trains"
                )
                raise AlgorithmError(sentence, declared_at(cls, "trains", name, self.phase))
            if not any(gradient.any() for gradient in gradients[name]):
                remarks.append(f"{self._name}: the gradient of '{name}' is zero at the start")
        return remarks
