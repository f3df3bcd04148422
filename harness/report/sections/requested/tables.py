"""Tables that a suite asks for: rows of the comparison by quantities, and the same as CSV."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from harness.report import stats
from harness.report.comparison import Comparison
from harness.report.layout import MISSING, Grid, Row, Text, points
from harness.report.records import Records
from harness.report.sections.requested.quantities import axis_label, own_actions, quantity, shown
from harness.suite.figures import Table


def table_numbers(figure: Table, records: Records, comparison: Comparison) -> pd.DataFrame:
    """One row a task, row of the comparison and quantity: mean and std over finished seeds."""
    measured = {}
    for name in figure.values:
        table = own_actions(records, quantity(records, comparison, name))
        for (task, label), values in shown(figure, records, table).groupby(["task", "label"]):
            measured[task, label, name] = values["value"].to_numpy(np.float64)
    entries = {entry.label: entry for entry in records.suite.rows}
    rows = [
        {
            "task": task,
            "algorithm": label,
            "actions": entries[label].action_selection,
            "quantity": name,
            "mean": measured[task, label, name].mean(),
            "std": stats.population_std(measured[task, label, name]),
            "seeds": len(measured[task, label, name]),
        }
        for task in comparison.tasks
        for label in comparison.labels
        for name in figure.values
        if (task, label, name) in measured
    ]
    columns = ["task", "algorithm", "actions", "quantity", "mean", "std", "seeds"]
    return pd.DataFrame(rows, columns=columns)


def table_grids(figure: Table, records: Records, comparison: Comparison) -> list[Grid]:
    """A table a task; a row whose run gave none of the quantities is left out."""
    numbers = table_numbers(figure, records, comparison)
    grids = []
    for task, here in numbers.groupby("task", sort=False):
        rows = []
        for label, cells in here.groupby("algorithm", sort=False):
            by_name = {row["quantity"]: row for row in cells.to_dict("records")}
            mark = comparison.gate.mark(str(label), [str(task)])
            rows.append(
                Row(str(label), tuple(_cell(by_name.get(name), mark) for name in figure.values))
            )
        columns = ("Algorithm", *(axis_label(name) for name in figure.values))
        grids.append(Grid(f"{figure.title}: {task}", columns, tuple(rows)))
    return grids


def _cell(row: Mapping[Hashable, Any] | None, mark: str) -> Text:
    if row is None:
        return Text(MISSING)
    is_score = row["quantity"] == "score"
    value = points(row["mean"]) if is_score else f"{row['mean']:.3g}"
    spread = points(row["std"]) if is_score else f"{row['std']:.2g}"
    return Text(value, spread if row["seeds"] > 1 else "", mark=mark if is_score else "")
