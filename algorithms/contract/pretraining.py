"""What pretraining reads of a config: all of it decides with whom it may be shared."""

from __future__ import annotations

from algorithms.contract.calls import run_stage, trial_inputs
from algorithms.contract.findings import Finding
from algorithms.contract.subject import ACTION_DIM, OBS_DIM, Subject
from algorithms.declared import declared_at
from algorithms.engine.preflight.reads import not_declared, noting

_OF_ENGINE = ("batch_size", "normalize_observations")  # it reads them, whatever the losses do


def pretraining_is_declared(subject: Subject) -> list[Finding]:
    """Every setting that shared pretraining reads is in the class's `Pretraining`.

    Of losses every run looks at that, too; here `select` and columns are run as well.
    """
    method = subject.method
    if method.Pretraining is None:
        return []
    read = dict.fromkeys(_OF_ENGINE, declared_at(method, "Pretraining")) | _read(subject)
    return [Finding(sentence, where) for sentence, where in not_declared(method, read)]


def _read(subject: Subject) -> dict[str, str]:
    """The settings that the stages of pretraining read, and the author's first line for each."""
    read: dict[str, str] = {}
    config = noting(subject.config(hidden_dims=(8, 8)), subject.method, read)
    algorithm = subject.method(config, OBS_DIM, ACTION_DIM)
    inputs = trial_inputs(algorithm)
    read.clear()  # what create makes of settings is compared as it is made
    subject.method.select(config, subject.transitions)
    for stage in algorithm.stages[: algorithm.pretraining_stages]:
        run_stage(algorithm, stage, inputs.nets(algorithm), inputs)
    return read
