"""What a method does as it trains, on made-up data: moving targets, acting, equal bits."""

from __future__ import annotations

import numpy as np

from algorithms.contract.findings import Finding
from algorithms.contract.subject import (
    ACTION_DIM,
    OBS_DIM,
    SAVED,
    STEPS,
    Subject,
    states_equal,
)
from algorithms.contract.targets import unread_targets
from algorithms.declared import declared_at
from algorithms.engine.learning_state import SeedState
from algorithms.errors import DivergedError, definition

_FEW = 8  # steps: bits differ at once or not at all
_ROUNDING = 0.01  # of the change in training, between compiled and eager code


def targets_move(subject: Subject) -> list[Finding]:
    """Every Polyak average of a network that was trained has moved, and something reads it."""
    first, last = subject.life.first[0], subject.life.engine.state(0)
    found = []
    for name in subject.algorithm.targets:
        trained, average = (_of(first, f"{group}/{name}/") for group in ("params", "targets"))
        moved = any(not np.array_equal(value, last[key]) for key, value in trained.items())
        if moved and all(np.array_equal(value, last[key]) for key, value in average.items()):
            sentence = (
                f"the target of '{name}' has not moved in {STEPS} steps: let a phase have it in "
                "updates_targets, and its rate be above 0"
            )
            found.append(Finding(sentence, declared_at(subject.method, "targets", name)))
    return [*found, *unread_targets(subject)]


def acts_within_bounds(subject: Subject) -> list[Finding]:
    """Actions are finite and of the right shape, also far from the data and for one observation.

    And its metrics are finite.
    """
    engine = subject.life.engine
    found = []
    odd = [name for name, value in engine.metrics().items() if not np.isfinite(value).all()]
    if odd:
        names = ", ".join(f"'{name}'" for name in odd)
        sentence = f"after {STEPS} steps on easy data these metrics are not finite: {names}"
        found.append(Finding(sentence, definition(subject.method.create, subject.method)))
    where = definition(subject.method.act, subject.method)
    for count in (1, 5):
        observations = 100 * np.ones((2, count, OBS_DIM), np.float32)
        try:
            actions = engine.policy("contract")(observations)
        except DivergedError:
            sentence = "far from the data, at observations of 100, the actions are not finite"
            return [*found, Finding(sentence, where)]
        if actions.shape != (2, count, ACTION_DIM) or not (np.abs(actions) <= 1).all():
            sentence = f"act gives {list(actions.shape)} for {count} observations, or beyond ±1"
            found.append(Finding(sentence, where))
    return found


def slots_do_not_matter(subject: Subject) -> list[Finding]:
    """Alone, or first, second or last of a stack; and its neighbours have others."""
    steps = subject.steps(_FEW)
    alone, pair, three = (
        subject.engine(seeds, steps, **subject.fast()) for seeds in ((3,), (3, 9), (7, 3, 9))
    )
    for engine in (alone, pair, three):
        engine.train(steps)
    create = definition(subject.method.create, subject.method)
    found = []
    equal = [(alone.state(0), pair.state(0)), (alone.state(0), three.state(1))]
    equal.append((pair.state(1), three.state(2)))
    if different := [name for a, b in equal for name in _differing(a, b)]:
        sentence = (
            f"a seed's {different[0]} has other bits beside other seeds: products over the whole "
            "stack round by its size, so use the networks of algorithms/networks.py"
        )
        found.append(Finding(sentence, create))
    if states_equal(pair.state(0), pair.state(1)):
        found.append(Finding("two seeds learn the same: initialise from the generator", create))
    observations = np.ones((3, 4, OBS_DIM), np.float32)
    actions = three.policy("contract")(observations)[1]
    if not np.array_equal(actions, alone.policy("contract")(observations[:1])[0]):
        sentence = "a seed's actions have other bits beside other seeds"
        found.append(Finding(sentence, definition(subject.method.act, subject.method)))
    return found


def resumes_bit_for_bit(subject: Subject) -> list[Finding]:
    """Saved, loaded by another engine and gone on, it ends with the bits of going straight on."""
    again = subject.learner()
    again.load_state(subject.life.saved, SAVED)
    again.train(STEPS - SAVED)
    for slot in (0, 1):
        different = _differing(again.state(slot), subject.life.engine.state(slot))
        if different:
            sentence = (
                f"resumed after step {SAVED}, {different[0]} ends with other bits: what a loss "
                "keeps between steps is not saved, so keep it in a network or leave it"
            )
            return [Finding(sentence, definition(subject.method.create, subject.method))]
    return []


def compiled_equals_eager(subject: Subject) -> list[Finding]:
    """The same few steps, compiled and not: parameters differ by a hundredth of their change."""
    steps = subject.steps(2 * len(subject.algorithm.stages))
    compiled, eager = (subject.engine((0, 1), steps, compile=way) for way in (True, False))
    if not compiled.compiled:
        return [Finding("not tried: there is no C++ compiler here (install g++)", advice=True)]
    first = eager.state(0)
    for engine in (compiled, eager):
        engine.train(steps)
    found = []
    for name in subject.algorithm.optimizers:
        start, here, there = (
            np.concatenate([v.ravel() for v in _of(state, f"params/{name}/").values()])
            for state in (first, eager.state(0), compiled.state(0))
        )
        change, gap = (float(np.linalg.norm(here - other)) for other in (start, there))
        if not gap <= _ROUNDING * change:
            sentence = (
                f"compiled, '{name}' learns something else: after {steps} steps it differs by "
                f"{gap / max(change, 1e-12):.0%} of its change"
            )
            found.append(Finding(sentence, declared_at(subject.method, "networks", name)))
    return found


def _of(state: SeedState, group: str) -> SeedState:
    return {key: value for key, value in state.items() if key.startswith(group)}


def _differing(a: SeedState, b: SeedState) -> list[str]:
    """Names of what two states do not have in common, bit by bit: NaN is NaN."""
    return [k for k in {**a, **b} if k not in a or k not in b or a[k].tobytes() != b[k].tobytes()]
