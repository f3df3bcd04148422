"""How actions are chosen: the words for it, and its order."""

from __future__ import annotations

from collections.abc import Iterable

from harness.runs.suite_file import SuiteFile


def actions_note(suite: SuiteFile) -> str:
    """`Actions: noise-0 (…): iql; noise-1 (…): df-dir, df-div.`, or nothing if not recorded."""
    by_way: dict[str, dict[str, None]] = {}
    for entry in suite.rows:
        if entry.action_selection:
            by_way.setdefault(entry.action_selection, {})[entry.base] = None
    parts = [f"{way} ({describe(way)}): {', '.join(bases)}" for way, bases in by_way.items()]
    return f"How actions are chosen: {'; '.join(parts)}." if parts else ""


def describe(way: str) -> str:
    """A way of acting in words."""
    kind, _, number = way.rpartition("-")
    if kind == "best-of":
        return f"of {number} samples the one with the largest critic value"
    if number == "0":
        return "without noise: a Gaussian's mean, a flow started from zero"
    if number == "1":
        return "one sample; the only action of a deterministic policy"
    return f"one sample with its noise scaled by {number}"


def ways_in_order(ways: Iterable[str]) -> list[str]:
    """Distinct ways of acting: less noise first, more candidates last."""

    def position(way: str) -> tuple[bool, float]:
        kind, _, number = way.rpartition("-")
        return kind == "best-of", float(number or 1)

    return sorted(set(ways), key=position)
