"""`harness check`: a method under the contract and on the ladder, one line for each promise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from algorithms import registry
from algorithms.contract import CHECKS, COMPILED, Check, Finding, Subject, run_check
from algorithms.errors import AlgorithmError
from harness.check.ladder import LADDER, climb
from harness.errors import UserError, nearest, no_algorithm
from harness.execution.machine import settle_compiled_code

_FIRST = "first-try"  # what comes after it relies on it
_OK, _LOOK, _MEND = "ok", "look", "mend"
_INDENT = 19


def check_method(
    algorithm_id: str, *, compiled: bool, ladder: bool, meant: Sequence[str], console: Console
) -> bool:
    """Print what is found; returns whether the method keeps the contract.

    Args:
        algorithm_id: of a registered method.
        compiled: also compile it, which takes a minute.
        ladder: also see what it learns in short trainings.
        meant: checks whose findings the author means.
        console: where to print.

    Raises UserError for a method or a check that does not exist, or a method that does not import.
    """
    torch.set_num_threads(1)  # as runs have
    _known("check", meant, [check.id for check in CHECKS])
    subject = Subject(algorithm_id)
    _load(subject)
    checks = [check for check in CHECKS if compiled or check is not COMPILED]
    to_mend, to_look_at = 0, []
    for check in checks:
        found = _run(check, subject, console)
        broken = [f for f in found if not f.advice and check.id not in meant]
        to_mend += len(broken)
        state = _MEND if broken else _LOOK if found else _OK
        _show(console, state, check.id, check.promise, found)
        to_look_at += [check.id] if found and check.id not in meant else []
        if broken and check.id == _FIRST:
            console.print("The other checks need this one: mend it, then check again.")
            return False
    if to_mend:
        console.print(f"{to_mend} to mend. What is meant can be said so: --meant CHECK.")
        return False
    for rung in LADDER if ladder else ():
        words, found = climb(rung, subject)
        _show(console, _LOOK if found else _OK, rung.id, f"{rung.question} {words}", found)
        to_look_at += [rung.id] if found else []
    untried = "" if ladder else " What it learns was not tried."
    verdict = f"{algorithm_id} keeps the contract{_things(to_look_at)}.{untried}"
    console.print(verdict, markup=False, soft_wrap=True)
    return True


def _things(names: Sequence[str]) -> str:
    """`; 2 things to look at: imitation, known-q`, or nothing."""
    count = f"{len(names)} thing{'s' if len(names) > 1 else ''}"
    return f"; {count} to look at: {', '.join(names)}" if names else ""


def _known(what: str, found: Sequence[str], known: Sequence[str]) -> None:
    for name in found:
        if name not in known:
            raise UserError(
                f"There is no {what} '{name}'.{nearest(name, known)} There are: {', '.join(known)}."
            )


def _load(subject: Subject) -> None:
    known = registry.algorithms()
    if subject.algorithm_id not in known:
        raise no_algorithm(subject.algorithm_id, known)
    try:
        _ = subject.method
    except AlgorithmError as error:
        raise UserError(f"{error}") from error


def _run(check: Check, subject: Subject, console: Console) -> list[Finding]:
    if check is COMPILED:
        console.print("compiling takes about a minute (--no-compile leaves it out) …")
        settle_compiled_code()
    return run_check(check, subject)


def _show(console: Console, state: str, name: str, words: str, found: Sequence[Finding]) -> None:
    console.print(f"{state:<5} {name:<12} {words}", markup=False, soft_wrap=True)
    for finding in found:
        sentence = Padding(Text(finding.sentence), (0, 0, 0, _INDENT), expand=False)
        console.print(sentence)
        if finding.where:  # not wrapped, as it is to be copied whole
            console.print(f"{'':{_INDENT}}{finding.where}", markup=False, soft_wrap=True)
