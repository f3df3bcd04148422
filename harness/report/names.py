"""Names of rows in figures."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.panels import in_words, spelled
from harness.runs.suite_file import RowInfo


def full_names(rows: Sequence[RowInfo]) -> dict[str, str]:
    """Names by label, with every swept field and its value: `grid, rho 0.3, flow steps 10`."""
    return {row.label: ", ".join(filter(None, [row.base, in_words(row.variant)])) for row in rows}


def short_names(rows: Sequence[RowInfo]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Names by label that fit beside a figure, and what their numbers are: `grid: rho, flow steps`.

    A row of a sweep over several fields has their values alone in its name (`grid 0.3, 10`).
    """
    names = full_names(rows)
    keys: dict[str, str] = {}
    for row in rows:
        if len(row.variant) > 1:
            names[row.label] = f"{row.base} {', '.join(map(spelled, row.variant.values()))}"
            keys[row.base] = f"{row.base}: {', '.join(row.variant).replace('_', ' ')}"
    return names, tuple(keys.values())
