"""What the episodes of packed rows return on average: a level to measure policies by."""

from __future__ import annotations

from functools import lru_cache

from harness.data.cache import find_rows
from harness.data.facts import facts_of
from harness.errors import UserError


@lru_cache
def mean_return(sha256: str) -> float | None:
    """Mean return of the episodes of the rows with this hash.

    None where they are not on this machine or damaged.
    """
    try:
        loaded = find_rows(sha256)
    except UserError:
        return None
    return None if loaded is None else float(facts_of(loaded.transitions).returns.mean())
