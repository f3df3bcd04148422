"""What pretraining reads of a config: all of it decides with whom it may be shared."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

from algorithms.base import Config
from algorithms.contract.calls import run_stage, trial_inputs
from algorithms.contract.findings import Finding
from algorithms.contract.subject import ACTION_DIM, OBS_DIM, Subject
from algorithms.declared import declared_at
from algorithms.errors import calling_line

_OF_ENGINE = ("batch_size", "normalize_observations")  # it reads them, whatever the losses do


def pretraining_is_declared(subject: Subject) -> list[Finding]:
    """Every setting that shared pretraining reads is in the class's `Pretraining`.

    Rows that differ in another setting share one pretraining: one of them has the wrong numbers.
    """
    model = subject.method.Pretraining
    if model is None:
        return []
    engine = dict.fromkeys(_OF_ENGINE, declared_at(subject.method, "Pretraining"))
    read = {**engine, **_read(subject)}
    return [
        Finding(
            f"pretraining reads the setting '{name}', which is not in {model.__name__}: rows that "
            "differ in it would share one pretraining, so move it there",
            where,
        )
        for name, where in read.items()
        if name not in model.model_fields
    ]


def _read(subject: Subject) -> dict[str, str]:
    """The settings that the stages of pretraining read, and the author's first line for each."""
    read: dict[str, str] = {}
    config = _noting(subject.config(hidden_dims=(8, 8)), subject.method, read)
    algorithm = subject.method(config, OBS_DIM, ACTION_DIM)
    inputs = trial_inputs(algorithm)
    read.clear()  # what create makes of settings is compared as it is made
    subject.method.select(config, subject.transitions)
    for stage in algorithm.stages[: algorithm.pretraining_stages]:
        run_stage(algorithm, stage, inputs.nets(algorithm), inputs)
    return read


def _noting(config: Config, method: type, read: dict[str, str]) -> Config:
    """The same config, which notes the fields that are read, each where it is first."""
    cls = type(config)

    def getattribute(self: Config, name: str) -> Any:
        if name in cls.model_fields and name not in read:
            read[name] = calling_line(method)
        return cls.__getattribute__(self, name)

    def body(namespace: dict[str, Any]) -> None:
        namespace["__getattribute__"] = getattribute

    fields: Mapping[str, Any] = vars(config)
    noting: type[Config] = types.new_class(cls.__name__, (cls,), exec_body=body)
    return noting.model_construct(**fields)
