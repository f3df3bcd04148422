"""Scores of every way of acting that was measured."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from harness.report import stats
from harness.report.action_selections import ways_in_order
from harness.report.comparison import Comparison
from harness.report.gate import MARK, trusts
from harness.report.layout import MISSING, Grid, Row, Text, points
from harness.report.section import Section
from harness.report.tables import with_budget


class ActionSelections(Section):
    """The same policies, acting in every way that the suite asks for."""

    def grids(self) -> list[Grid]:
        return action_grids(self.comparison)

    def tables(self) -> dict[str, pd.DataFrame]:
        return {"action_selections": with_budget(action_table(self.comparison), self.comparison)}


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
