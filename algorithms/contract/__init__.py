"""The contract: what every method promises, tried on data of seconds, with the author's line.

`harness check` runs it on any registered method, and `tests/algorithms/test_contract.py` on ours.
Each check is a function of a `Subject` that returns what is wrong. They stand in the order in which
one mistake could pass for another: what comes after a broken one is not to be trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError

from algorithms.contract.findings import Finding
from algorithms.contract.learning import imitation
from algorithms.contract.pretraining import pretraining_is_declared
from algorithms.contract.reach import (
    bootstraps_are_fixed,
    gradients_reach,
    terminals_end_values,
    terms_stay_apart,
)
from algorithms.contract.subject import Subject
from algorithms.contract.training import (
    acts_within_bounds,
    compiled_equals_eager,
    resumes_bit_for_bit,
    slots_do_not_matter,
    targets_move,
)
from algorithms.contract.writing import first_try, line_of_class, provenance, settings
from algorithms.errors import (
    AlgorithmError,
    DivergedError,
    author_line,
    definition,
    lacks_memory,
    sentence_of,
)

__all__ = [
    "CHECKS",
    "COMPILED",
    "Check",
    "Finding",
    "Subject",
    "finding_of",
    "imitation",
    "run_check",
]


@dataclass(frozen=True)
class Check:
    """One promise.

    Attributes:
        id: a name for options and tests.
        promise: what holds if nothing is found, in words.
        findings: looks for what is wrong.
    """

    id: str
    promise: str
    findings: Callable[[Subject], list[Finding]]


COMPILED = Check("compiled", "compiled updates equal eager ones to rounding", compiled_equals_eager)
CHECKS = (
    Check("provenance", "the file says its paper, its code and its deviations", provenance),
    Check("settings", "settings are commented and read, and unknown ones refused", settings),
    Check(
        "first-try",
        "shapes, seeds apart (S, B and E differ), noise from its spec, no branch on tensors",
        first_try,
    ),
    Check(
        "pretraining",
        "who shares pretraining has all settings in common that it reads",
        pretraining_is_declared,
    ),
    Check("gradients", "gradients reach every parameter that is trained", gradients_reach),
    Check("leaks", "no term of a loss reaches a network that it does not train", terms_stay_apart),
    Check("bootstraps", "values of the next observation carry no gradient", bootstraps_are_fixed),
    Check("terminals", "nothing is earned behind a terminal step", terminals_end_values),
    Check("targets", "targets move and are read", targets_move),
    Check("acting", "acts within bounds, for any number of observations", acts_within_bounds),
    Check("slots", "a seed has the same bits beside any others", slots_do_not_matter),
    Check("resumption", "stopped and resumed, it has the same bits", resumes_bit_for_bit),
    COMPILED,
)


def run_check(check: Check, subject: Subject) -> list[Finding]:
    """What a check finds; an error in the method's own code is a finding too."""
    try:
        return check.findings(subject)
    except Exception as error:
        return [finding_of(error, subject)]


def finding_of(error: Exception, subject: Subject) -> Finding:
    """What to say of an error that came out of the method's own code; raises any other."""
    if isinstance(error, AlgorithmError):
        return Finding(error.sentence, error.where)
    if isinstance(error, DivergedError):
        sentence = f"it diverges in a short training: {error}"
        return Finding(sentence, definition(subject.method.create, subject.method))
    if isinstance(error, ValidationError):
        name, what = error.errors()[0]["loc"], error.errors()[0]["msg"]
        sentence = (
            f"the setting '{'.'.join(map(str, name))}' cannot be what the check gives it, or has "
            f"no default: {what}"
        )
        return Finding(sentence, line_of_class(subject.method.Config, subject.method))
    where = author_line(error, subject.method)
    if lacks_memory(error) or not where:
        raise error
    return Finding(sentence_of(error), where)
