"""Target networks that nothing reads: `nets.frozen.critic` where `nets.target.critic` was meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from algorithms.base import Algorithm, Networks
from algorithms.contract.calls import run_stage, trial_inputs
from algorithms.contract.findings import Finding
from algorithms.contract.subject import Subject
from algorithms.declared import declared_at
from algorithms.engine.preflight.inputs import Inputs
from algorithms.networks import Network, Params


class _TargetsNoted(Networks):
    """Networks that note whose Polyak average is asked for."""

    def __init__(
        self,
        specs: Mapping[str, Network],
        params: Mapping[str, Params],
        frozen: Mapping[str, Params],
        targets: Mapping[str, Params],
        read: set[str],
    ) -> None:
        super().__init__(specs, params, frozen, targets)
        self._read = read

    def __getattr__(self, name: str) -> Any:
        if self._params is self._targets:
            self._read.add(name)
        return super().__getattr__(name)

    @property
    def frozen(self) -> Networks:
        return _TargetsNoted(self._specs, self._frozen, self._frozen, self._targets, self._read)

    @property
    def target(self) -> Networks:
        return _TargetsNoted(self._specs, self._targets, self._targets, self._targets, self._read)


def unread_targets(subject: Subject) -> list[Finding]:
    """Polyak averages that no loss, no stage's beginning and no way to act looks at."""
    algorithm = subject.algorithm
    read = {source for stage in algorithm.stages for source in stage.copies.values()}
    inputs = trial_inputs(algorithm)
    params, targets = inputs.params, inputs.targets
    _run_all(algorithm, _TargetsNoted(algorithm.networks, params, params, targets, read), inputs)
    return [
        Finding(
            f"nothing reads the target of '{name}': write nets.target.{name} where it is meant, "
            "or leave it out of self.targets and updates_targets",
            declared_at(subject.method, "targets", name),
            advice=True,
        )
        for name in algorithm.targets
        if name not in read
    ]


def _run_all(algorithm: Algorithm[Any], nets: Networks, inputs: Inputs) -> None:
    """Everything of a method that sees its networks, once."""
    online = [algorithm.online_stage()] if algorithm.learns_online() else []
    for stage in (*algorithm.stages, *online):
        run_stage(algorithm, stage, nets, inputs)
        given = inputs.copied()
        actions = (stage.act or algorithm.act)(nets, given.observations, given.act_noise)
        if isinstance(given.observations, Tensor) and algorithm.supports("best-of-4"):
            algorithm.action_value(nets, given.observations, actions)
            algorithm.softmax_value(nets, given.observations, actions)
