"""How actions were chosen: the words for it, and the scores of every way that was measured."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from harness.report import stats
from harness.report.comparison import Comparison
from harness.report.gate import MARK, trusts
from harness.report.layout import MISSING, Grid, Row, Text, points
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


def action_grids(comparison: Comparison) -> list[Grid]:
    """A table a task: algorithms by ways of acting; none if only their own was measured."""
    table = action_table(comparison)
    if table["own"].all():
        return []
    ways = ways_in_order(table["actions"])
    grids = []
    for task in comparison.tasks:
        found = table[table["task"] == task].to_dict("records")
        here = {(row["algorithm"], row["actions"]): row for row in found}
        labels = [label for label in comparison.labels if any(key[0] == label for key in here)]
        rows = [Row(label, tuple(_cell(here.get((label, w))) for w in ways)) for label in labels]
        title = f"How actions are chosen, on {task}"
        grids.append(Grid(title, ("Algorithm", *ways), tuple(rows)))
    return grids


def action_table(comparison: Comparison) -> pd.DataFrame:
    """One row a task, algorithm and way of acting: mean, std and 95% interval over seeds."""
    entries = {entry.label: entry for entry in comparison.suite.rows}
    ways = ways_in_order(comparison.action_scores["actions"])
    measured = dict(list(comparison.action_scores.groupby(["task", "label", "actions"])["score"]))
    rows = []
    for task, label, way in product(comparison.tasks, comparison.labels, ways):
        if (task, label, way) not in measured:
            continue
        scores = measured[task, label, way].to_numpy(np.float64)
        entry, low_high = entries[label], stats.t_interval(scores)
        judged = comparison.gate.verdicts[task].usable is not None and trusts(entry, way)
        rows.append(
            {
                "task": task,
                "algorithm": label,
                "actions": way,
                "own": way == entry.action_selection,
                "mean": scores.mean(),
                "std": stats.population_std(scores),
                "ci95_low": low_high.low,
                "ci95_high": low_high.high,
                "seeds": len(scores),
                "critic_usable": (task, label) not in comparison.gate.marked if judged else None,
            }
        )
    columns = ["task", "algorithm", "actions", "own", "mean", "std", "ci95_low", "ci95_high"]
    table = pd.DataFrame(rows, columns=[*columns, "seeds", "critic_usable"])
    return table.astype({"own": bool, "critic_usable": "boolean"})


def ways_in_order(ways: Iterable[str]) -> list[str]:
    """Distinct ways of acting: less noise first, more candidates last."""

    def position(way: str) -> tuple[bool, float]:
        kind, _, number = way.rpartition("-")
        return kind == "best-of", float(number or 1)

    return sorted(set(ways), key=position)


def _cell(row: Mapping[Hashable, Any] | None) -> Text:
    """One row of `action_table` as a printed cell."""
    if row is None:
        return Text(MISSING)
    return Text(
        points(row["mean"]),
        points(row["std"]) if row["seeds"] > 1 else "",
        "its own" if row["own"] else "",
        mark=MARK if row["critic_usable"] is False else "",
    )
