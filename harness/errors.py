"""Errors that are the user's to fix, shown without a traceback; and what is kept of others."""

from __future__ import annotations

import errno

from algorithms.errors import AlgorithmError, nearest, sentence_of

__all__ = ["UserError", "describe", "nearest"]


class UserError(Exception):
    """A mistake the user can correct; the message says what was found and what to do."""


def describe(error: Exception, trace: str, where: str = "") -> str:
    """What `status.json` says of a failure: a sentence first, then the traceback if it helps.

    where: `file:line` in the method's own code, if the failure came out of it.
    """
    if isinstance(error, UserError | AlgorithmError):
        return str(error)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return (
            f"the disk is full ({error}). What was saved before is intact: free some space, then "
            "run the suite again to continue."
        )
    if where:
        return f"{sentence_of(error)} ({where})\n\n{trace}"
    return f"{type(error).__name__}: {error}\n\n{trace}"
