"""Errors that are the user's to fix, shown without a traceback; and what is kept of others."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from algorithms.errors import AlgorithmError, lacks_memory, line_in, nearest, sentence_of

__all__ = [
    "EnvironmentFailedError",
    "UserError",
    "describe",
    "lacks_memory",
    "line_in",
    "nearest",
    "no_algorithm",
    "no_memory",
    "sentence_of",
    "unwritable",
]


class UserError(Exception):
    """A mistake the user can correct; the message says what was found and what to do."""


class EnvironmentFailedError(UserError):
    """An environment that raised, or did not answer in time.

    Attributes:
        seed: of the run whose episode it was.
    """

    def __init__(self, sentence: str, seed: int = 0) -> None:
        super().__init__(sentence)
        self.seed = seed


def no_algorithm(found: str, known: Iterable[str]) -> UserError:
    """What to raise for an id that none of the known methods has."""
    return UserError(
        f"There is no algorithm '{found}'.{nearest(found, known)} List them with: python -m "
        "harness list algorithms; one of a package of your own is known once that is installed."
    )


def describe(error: Exception, trace: str, where: str = "") -> str:
    """What `status.json` says of a failure: a sentence first, then the traceback if it helps.

    where: `file:line` in the method's own code, if the failure came out of it.
    """
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and (sentence := unwritable(error)):
        return sentence
    if lacks_memory(error):  # before a method's mistakes, of which it may look like one
        return no_memory(error)
    if isinstance(error, AlgorithmError):
        return str(error)
    if where:
        return f"{sentence_of(error)} ({where})\n\n{trace}"
    return f"{type(error).__name__}: {error}\n\n{trace}"


def unwritable(error: OSError) -> str:
    """What to do where the disk is full or may not be written; empty for other errors."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return (
            f"the disk is full ({error}). What was saved before is intact: free some space, then "
            "run the suite again to continue."
        )
    if error.errno == errno.EFBIG:
        return (
            f"a file may not grow so large ({error}). What was saved before is intact: lift the "
            "limit (ulimit -f), then run the suite again to continue."
        )
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return (
            f"a file cannot be written or read ({error}). What was saved before is intact: make "
            "its folder writable, or choose another with --results, then run again."
        )
    return ""


def no_memory(error: Exception) -> str:
    """What to do about an error that `lacks_memory`."""
    return (
        f"there is not enough memory ({sentence_of(error)}). What was saved before is intact: end "
        "other programs, lift the limit (ulimit -v, the container's or the job's), or train fewer "
        "runs at once (more resources.cpus_per_trial, fewer seeds_per_trial), then run again."
    )
