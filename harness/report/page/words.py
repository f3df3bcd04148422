"""Numbers and lists as the page prints them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.report.layout import MISSING

_MOST_NAMED = 6


def number(value: float | None, style: str) -> str:
    """A number in a format; a dash where there is none."""
    return MISSING if value is None or math.isnan(value) else format(value, style)


def duration(seconds: float | None) -> str:
    """`48 s`, `3 min 20 s`, `5 h 07 min`."""
    if seconds is None or math.isnan(seconds):
        return MISSING
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`; of many names the last are counted."""
    most = _MOST_NAMED - 1
    shown = [*names[:most], f"{len(names) - most} others"] if len(names) > _MOST_NAMED else names
    *head, last = shown
    return f"{', '.join(head)} and {last}" if head else last


def plural(count: int, noun: str) -> str:
    """`1 run`, `3 runs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
