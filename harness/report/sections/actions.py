"""Scores by every action selection that was measured."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from harness.report.action_selections import selections_in_order
from harness.report.comparison import Comparison
from harness.report.gate import MARK, trusts
from harness.report.layout import MISSING, Grid, GridRow, Text, points
from harness.report.origins import origin_mark
from harness.report.section import Section
from harness.report.tables import with_budget
from harness.statistics.intervals import standard_deviation, t_interval


class ActionSelections(Section):
    """The same policies by every action selection that the suite asks for."""

    @property
    def subject(self) -> str:
        return "the action selections"

    def grids(self) -> list[Grid]:
        return action_grids(self.comparison)

    def tables(self) -> dict[str, pd.DataFrame]:
        return {"action_selections": with_budget(action_table(self.comparison), self.comparison)}


def action_grids(comparison: Comparison) -> list[Grid]:
    """One table per task, best score first; none if only everyone's own selection was measured."""
    table = action_table(comparison)
    if table["own"].all():
        return []
    selections = selections_in_order(table["action_selection"])
    grids = []
    for task in comparison.tasks:
        found = table[table["task"] == task].to_dict("records")
        here = {(line["algorithm"], line["action_selection"]): line for line in found}
        ranked = comparison.ranked([task])
        labels = [label for label in ranked if any(key[0] == label for key in here)]
        rows = [
            GridRow(
                label + origin_mark(comparison.suite, label, [task]),
                tuple(_text(here.get((label, name))) for name in selections),
            ).of(task=task, label=label)
            for label in labels
        ]
        title = f"Action selections on {task}"
        grids.append(Grid(title, ("Algorithm", *selections), tuple(rows)))
    return grids


def action_table(comparison: Comparison) -> pd.DataFrame:
    """One line per task, algorithm and action selection: mean, std and 95% interval over seeds."""
    found = comparison.selection_scores
    selections = selections_in_order(found["action_selection"])
    measured = dict(list(found.groupby(["task", "label", "action_selection"])["score"]))
    lines = []
    for task, row, selection in product(comparison.tasks, comparison.suite.rows, selections):
        label = row.label
        if (task, label, selection) not in measured:
            continue
        scores = measured[task, label, selection].to_numpy(np.float64)
        low_high = t_interval(scores)
        judged = comparison.gate.verdicts[task].usable is not None and trusts(row, selection)
        lines.append(
            {
                "task": task,
                "algorithm": label,
                "action_selection": selection,
                "own": selection == row.action_selection,
                "mean": scores.mean(),
                "std": standard_deviation(scores),
                "ci95_low": low_high.low,
                "ci95_high": low_high.high,
                "seeds": len(scores),
                "critic_usable": (task, label) not in comparison.gate.marked if judged else None,
            }
        )
    numbers = ["mean", "std", "ci95_low", "ci95_high", "seeds"]
    columns = ["task", "algorithm", "action_selection", "own", *numbers, "critic_usable"]
    table = pd.DataFrame(lines, columns=columns)
    return table.astype({"own": bool, "critic_usable": "boolean"})


def _text(line: Mapping[Hashable, Any] | None) -> Text:
    """One line of `action_table` as it is printed."""
    if line is None:
        return Text(MISSING)
    return Text(
        points(line["mean"]),
        points(line["std"]) if line["seeds"] > 1 else "",
        "its own" if line["own"] else "",
        mark=MARK if line["critic_usable"] is False else "",
    )
