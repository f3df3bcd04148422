"""Names of rows short enough to stand beside a figure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.panels import in_words, spelled
from harness.runs.suite_file import RowInfo


def short_names(rows: Sequence[RowInfo]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Names by label, and what their numbers are: `grid: rho, flow steps`.

    A row of a sweep over several fields has their values alone in its name (`grid 0.3, 10`).
    """
    names: dict[str, str] = {}
    keys: dict[str, str] = {}
    for row in rows:
        if len(row.variant) > 1:
            names[row.label] = f"{row.base} {', '.join(map(spelled, row.variant.values()))}"
            keys[row.base] = f"{row.base}: {', '.join(row.variant).replace('_', ' ')}"
        else:
            names[row.label] = ", ".join(filter(None, [row.base, in_words(row.variant)]))
    return names, tuple(keys.values())
