"""What every method promises; `harness check my-method` says the same, and whether it learns."""

from __future__ import annotations

import pytest

from algorithms.contract import CHECKS, COMPILED, Check, Subject, run_check


@pytest.fixture(scope="module")
def subject() -> Subject:
    """The method, small; its training is shared by all checks."""
    return Subject("my-method")


@pytest.mark.parametrize("check", [c for c in CHECKS if c is not COMPILED], ids=lambda c: c.id)
def test_keeps_the_contract(subject: Subject, check: Check) -> None:
    """One promise of the contract; advice is not a failure."""
    assert [str(finding) for finding in run_check(check, subject) if not finding.advice] == []
