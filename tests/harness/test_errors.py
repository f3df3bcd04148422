"""What `status.json` says of errors."""

from __future__ import annotations

import errno

import pytest

from algorithms.errors import AlgorithmError
from harness.errors import UserError, describe


def test_too_little_memory_is_not_the_methods_mistake() -> None:
    raised = AlgorithmError("RuntimeError: [enforce fail] Cannot allocate memory", "mine.py:3")
    assert describe(raised, "trace").startswith("there is not enough memory (")
    assert describe(AlgorithmError("the loss is [2, 3]", "mine.py:3"), "trace") == (
        "the loss is [2, 3] (mine.py:3)"
    )


def test_a_users_mistake_is_told_in_its_own_words_whatever_it_came_from() -> None:
    error = UserError("Rewards of this shape: there is no memory for them.")
    error.__cause__ = MemoryError()
    assert describe(error, "trace") == "Rewards of this shape: there is no memory for them."


@pytest.mark.parametrize(
    ("number", "begins", "advice"),
    [
        (errno.ENOSPC, "the disk is full", "free some space"),
        (errno.EFBIG, "a file may not grow so large", "ulimit -f"),
        (errno.EACCES, "a file cannot be written or read", "make its folder writable"),
    ],
)
def test_a_file_that_cannot_be_written_is_followed_by_what_to_do(
    number: int, begins: str, advice: str
) -> None:
    said = describe(OSError(number, "why"), "trace")
    assert said.startswith(begins)
    assert advice in said
    assert "trace" not in said
