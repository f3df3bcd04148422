"""Action selections: the words for them, their order, and which is a row's own."""

from __future__ import annotations

from collections.abc import Iterable

from harness.runs.suite_file import SuiteFile


def own_selections(suite: SuiteFile) -> dict[str, str]:
    """By label, the action selection that a row is scored by; empty if not recorded."""
    return {row.label: row.action_selection for row in suite.rows}


def selection_note(suite: SuiteFile) -> str:
    """`Action selection: noise-0 (…): iql; noise-1 (…): df-dir.`, or nothing if not recorded."""
    bases: dict[str, dict[str, None]] = {}
    for row in suite.rows:
        if row.action_selection:
            bases.setdefault(row.action_selection, {})[row.base] = None
    parts = [f"{name} ({describe(name)}): {', '.join(rows)}" for name, rows in bases.items()]
    return f"Action selection: {'; '.join(parts)}." if parts else ""


def describe(selection: str) -> str:
    """An action selection in words."""
    kind, _, number = selection.rpartition("-")
    if kind == "best-of":
        return f"of {number} samples the one with the largest critic value"
    if kind == "softmax-of":
        return f"of {number} samples one drawn by the softmax of their critic values"
    if number == "0":
        return "without noise: a Gaussian's mean, a flow started from zero"
    if number == "1":
        return "one sample; the only action of a deterministic policy"
    return f"one sample with its noise scaled by {number}"


def selections_in_order(selections: Iterable[str]) -> list[str]:
    """Distinct action selections: less noise first, then softmax-of-N, best-of-N last."""

    def position(selection: str) -> tuple[int, float]:
        kind, _, number = selection.rpartition("-")
        return {"softmax-of": 1, "best-of": 2}.get(kind, 0), float(number or 1)

    return sorted(set(selections), key=position)
