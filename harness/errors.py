"""Errors that are the user's to fix: shown as one message, never as a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake the user can correct; the message says what was found and what to do."""


def nearest(found: str, allowed: Iterable[str]) -> str:
    """A ' Did you mean …?' for the closest allowed name, or nothing."""
    match = difflib.get_close_matches(found, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean '{match[0]}'?" if match else ""
