"""What pretraining reads of a config: all of it decides with whom it may be shared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from algorithms.contract.calls import run_stage, trial_inputs
from algorithms.contract.findings import Finding
from algorithms.contract.subject import ACTION_DIM, OBS_DIM, Subject, states_equal
from algorithms.declared import declared_at
from algorithms.engine.engine import Engine
from algorithms.engine.preflight.reads import not_declared, noting
from algorithms.engine.pretraining import set_up

_OF_ENGINE = ("batch_size", "normalize_observations")  # it reads them, whatever the losses do
_STEPS = 6  # a setting that counts later, as a delay does, does not show


def pretraining_is_declared(subject: Subject) -> list[Finding]:
    """Every setting that shared pretraining reads is in the class's `Pretraining`.

    Of losses and columns every run looks at that, too. Here `select` is run as well, and what is
    kept of settings since `create`, or read by the engine, shows in the weights of a few steps.
    """
    method = subject.method
    if method.Pretraining is None:
        return []
    read = dict.fromkeys(_OF_ENGINE, declared_at(method, "Pretraining")) | _read(subject)
    found = [Finding(sentence, where) for sentence, where in not_declared(method, read)]
    return found or list(_shown_by_weights(subject))


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


def _shown_by_weights(subject: Subject) -> Iterator[Finding]:
    """Settings that are not in `Pretraining`, and with another value pretrain other weights."""
    model = subject.method.Pretraining
    assert model is not None
    ours = _pretrained(subject, {})
    for name, value, theirs in _others(subject, set(model.model_fields)):
        if set_up(theirs.algorithm) == set_up(ours.algorithm) and not states_equal(
            theirs.pretrained_state(0), ours.pretrained_state(0)
        ):
            yield Finding(
                f"with {name} = {value!r} pretraining leaves other weights, and '{name}' is not in "
                f"{model.__name__}: rows that differ in it would share one pretraining, so move it "
                "there",
                declared_at(subject.method, "Pretraining"),
            )


def _pretrained(subject: Subject, settings: dict[str, Any]) -> Engine:
    """An engine that has just pretrained one seed."""
    engine = subject.engine((0,), subject.steps(_STEPS), **{**subject.fast(), **settings})
    engine.train(engine.pretraining_steps)
    return engine


def _others(subject: Subject, declared: set[str]) -> Iterator[tuple[str, Any, Engine]]:
    """Other values of settings that are not `declared`, one each, and what pretrained with them."""
    config = subject.config(**subject.fast())
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        for other in _unlike(value, field.annotation) if name not in declared else ():
            try:
                pretrained = _pretrained(subject, {name: other})
            except Exception:  # nobody has asked for this value, whatever refuses it
                continue
            yield name, other, pretrained
            break


def _unlike(value: Any, kind: Any) -> list[Any]:
    """Values to try instead of one."""
    if get_origin(kind) is Literal:
        return [word for word in get_args(kind) if word != value]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, 2 * value, value - 1]
    return [value / 2 or 0.5, 2 * value] if isinstance(value, float) else []
