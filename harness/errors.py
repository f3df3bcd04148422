"""Errors that are the user's to fix, shown without a traceback; and what is kept of others."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class UserError(Exception):
    """A mistake the user can correct; the message says what was found and what to do."""


def nearest(found: str, allowed: Iterable[str]) -> str:
    """A ' Did you mean …?' for the closest allowed name, or nothing."""
    match = difflib.get_close_matches(found, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean '{match[0]}'?" if match else ""


def describe(error: Exception, trace: str) -> str:
    """What `status.json` says of a failure: a sentence first, then the traceback if it helps."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return (
            f"the disk is full ({error}). What was saved before is intact: free some space, then "
            "run the suite again to continue."
        )
    return f"{type(error).__name__}: {error}\n\n{trace}"
