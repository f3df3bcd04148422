"""One phase's loss on made-up inputs, with every network it calls, and from which line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from algorithms.base import Algorithm, Batch, Networks, Phase, Stage
from algorithms.contract.subject import Subject
from algorithms.engine.preflight import trial_sizes
from algorithms.engine.preflight.columns import evaluate_column
from algorithms.engine.preflight.inputs import Inputs, make_inputs
from algorithms.engine.streams import generator
from algorithms.errors import calling_line
from algorithms.networks import Network, Params

_SPREAD = 0.1  # added to parameters, so that none is at a special value such as 0 or 1


@dataclass(frozen=True)
class Call:
    """A call of a network with the parameters that a phase may train: `nets.critic(…)`.

    Attributes:
        name: the network's.
        inputs: the tensors that it was given.
        outputs: the tensors that it returned; none of a call inside a transform of `torch.func`.
        where: the author's `file:line`.
    """

    name: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    where: str


class RecordedNetworks(Networks):
    """Networks that note the calls of those that may be trained."""

    def __init__(
        self,
        specs: Mapping[str, Network],
        params: Mapping[str, Params],
        frozen: Mapping[str, Params],
        targets: Mapping[str, Params],
        note: Callable[[str, tuple[Any, ...], Any], None],
    ) -> None:
        super().__init__(specs, params, frozen, targets)
        self._note = note

    def __getattr__(self, name: str) -> Callable[..., Any]:
        network = super().__getattr__(name)

        def call(*inputs: Any, **key: Any) -> Any:
            outputs = network(*inputs, **key)
            self._note(name, inputs, outputs)
            return outputs

        return call


@dataclass(frozen=True)
class Evaluation:
    """A phase's loss, the leaves it may have a gradient of, and its calls of networks.

    Attributes:
        phase: whose loss it is.
        loss: `[S]`.
        metrics: `[S]` each, with their graphs.
        leaves: the parameters of all networks, `[S, ...]`, but not frozen ones and averages.
        calls: of networks with these leaves, in order.
    """

    phase: Phase
    loss: Tensor
    metrics: Mapping[str, Tensor]
    leaves: Mapping[str, Params]
    calls: list[Call]

    def gradients(self, name: str) -> dict[str, Tensor | None]:
        """Of the sum of all seeds' losses, by parameter of a network; None where it has none."""
        return dict(zip(self.leaves[name], self.wrt(self.leaves[name].values()), strict=True))

    def wrt(self, tensors: Iterable[Tensor], *, twice: bool = False) -> list[Tensor | None]:
        """The gradient of the sum of all seeds' losses with respect to tensors of its graph."""
        return gradients(self.loss.sum(), tensors, twice=twice)

    def reaching(self, name: str) -> list[Call]:
        """The calls of a network whose outputs the loss has a gradient of."""
        return [
            call
            for call in self.calls
            if call.name == name and any(g is not None and g.any() for g in self.wrt(call.outputs))
        ]


def gradients(
    value: Tensor, tensors: Iterable[Tensor], *, twice: bool = False
) -> list[Tensor | None]:
    """Of a number with respect to tensors; None for those that it does not depend on."""
    wanted = list(tensors)
    asked = [tensor for tensor in wanted if tensor.requires_grad]
    if not asked or not value.requires_grad:
        return [None] * len(wanted)
    found = iter(
        torch.autograd.grad(value, asked, retain_graph=True, create_graph=twice, allow_unused=True)
    )
    return [next(found) if tensor.requires_grad else None for tensor in wanted]


def evaluate(
    subject: Subject, phase: Phase, change: Callable[[Batch], Batch] | None = None
) -> Evaluation:
    """A phase's loss as the engine asks for it, with leaves also of what it does not train."""
    algorithm = subject.algorithm
    inputs = trial_inputs(algorithm).copied()
    if change is not None:
        inputs = replace(inputs, batch=change(inputs.batch))
    leaves = {
        name: {key: value.clone().requires_grad_() for key, value in params.items()}
        for name, params in inputs.params.items()
    }
    calls: list[Call] = []

    def note(name: str, given: tuple[Any, ...], returned: Any) -> None:
        calls.append(Call(name, _tensors(given), _tensors(returned), calling_line(subject.method)))

    nets = RecordedNetworks(algorithm.networks, leaves, inputs.params, inputs.targets, note)
    loss, metrics = phase.loss(nets, inputs.batch, inputs.noise)
    return Evaluation(phase, loss, metrics, leaves, calls)


def run_stage(algorithm: Algorithm[Any], stage: Stage, nets: Networks, inputs: Inputs) -> None:
    """All that a stage asks of networks as it trains, once: its columns, losses and assignments."""
    for column in stage.columns.values():
        evaluate_column(algorithm, column, nets, inputs, inputs.batch.columns)
    for phase in stage.phases:
        for function in filter(None, (phase.loss, phase.assigns)):
            given = inputs.copied()
            function(nets, given.batch, given.noise)


def trial_inputs(algorithm: Algorithm[Any]) -> Inputs:
    """Inputs of a trial, with averages of their own, and with windows that end in it."""
    sizes = trial_sizes(algorithm)
    inputs = make_inputs(algorithm, sizes, sizes.seeds)
    return replace(
        inputs,
        batch=_with_ends(inputs.batch, algorithm.context) if algorithm.context else inputs.batch,
        params=_spread(inputs.params, "params"),
        targets=_spread(inputs.targets, "targets"),
    )


def _with_ends(batch: Batch, context: int) -> Batch:
    """Windows of one to `context` transitions; what is past their end is zero but for `steps`."""
    rows = torch.arange(batch.valid.shape[1]).unsqueeze(-1)
    valid = (torch.arange(context) <= rows % context).float().expand_as(batch.valid)

    def cut(x: Tensor) -> Tensor:
        return x * valid.view(*valid.shape, *[1] * (x.ndim - valid.ndim)).to(x.dtype)

    return batch.map(cut)._replace(steps=batch.steps)


def _spread(networks: Mapping[str, Params], stream: str) -> dict[str, Params]:
    random = generator("contract", stream)
    return {
        name: {
            key: value + _SPREAD * torch.randn(value.shape, generator=random)
            for key, value in params.items()
        }
        for name, params in networks.items()
    }


def _tensors(found: Any) -> list[Tensor]:
    """The tensors among the inputs or outputs of a network."""
    parts = found if isinstance(found, tuple | list) else (found,)
    return [
        part
        for part in parts
        if isinstance(part, Tensor) and not torch._C._functorch.is_functorch_wrapped_tensor(part)
    ]
