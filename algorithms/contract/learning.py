"""Whether a method learns from easy data: a question, as some are not held to the data."""

from __future__ import annotations

import numpy as np

from algorithms.contract.findings import Finding
from algorithms.contract.subject import STEPS, Subject
from algorithms.errors import definition

_ERROR = 0.6  # of a constant action's squared error


def imitation(subject: Subject, selection: str | None = None) -> list[Finding]:
    """On data of one good action for each state it acts as they do, far better than a constant.

    selection: how it acts, if not its own way.
    """
    data = subject.transitions
    actions = subject.life.engine.policy("contract", selection)(np.stack([data.observations] * 2))
    errors = np.square(actions - data.actions).mean((1, 2))
    error = errors.max() / data.actions.var(0).mean()
    if error < _ERROR:
        return []
    sentence = (
        f"after {STEPS} steps on 256 transitions its actions are off the data's by {error:.0%} of "
        "what the best constant action is: look at the policy's loss and at act, unless nothing "
        "is to hold it to the data"
    )
    return [Finding(sentence, definition(subject.method.act, subject.method), advice=True)]
