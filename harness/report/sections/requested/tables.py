"""Tables that a suite asks for: rows of the comparison by quantities, and the same as CSV."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from harness.report.action_selections import own_selections
from harness.report.comparison import Comparison
from harness.report.layout import MISSING, Grid, GridRow, Text, points
from harness.report.origins import origin_mark
from harness.report.records import Records
from harness.report.sections.requested.quantities import axis_label, own_actions, quantity, shown
from harness.statistics.intervals import standard_deviation
from harness.suite.figures import Table


def table_numbers(figure: Table, records: Records, comparison: Comparison) -> pd.DataFrame:
    """One line per task, row of the comparison and quantity: mean and std over finished seeds."""
    measured = {}
    for name in figure.values:
        table = own_actions(records, quantity(records, comparison, name))
        for (task, label), values in shown(figure, records, table).groupby(["task", "label"]):
            measured[task, label, name] = values["value"].to_numpy(np.float64)
    own = own_selections(records.suite)
    lines = [
        {
            "task": task,
            "algorithm": label,
            "action_selection": own[label],
            "quantity": name,
            "mean": measured[task, label, name].mean(),
            "std": standard_deviation(measured[task, label, name]),
            "seeds": len(measured[task, label, name]),
            "protocol": comparison.protocol.name,
        }
        for task in comparison.tasks
        for label in comparison.labels
        for name in figure.values
        if (task, label, name) in measured
    ]
    columns = ["task", "algorithm", "action_selection", "quantity", "mean", "std", "seeds"]
    columns.append("protocol")
    return pd.DataFrame(lines, columns=columns)


def table_grids(figure: Table, records: Records, comparison: Comparison) -> list[Grid]:
    """One table per task; a row whose run gave none of the quantities is left out."""
    numbers = table_numbers(figure, records, comparison)
    grids = []
    for task, here in numbers.groupby("task", sort=False):
        rows = []
        for label, lines in here.groupby("algorithm", sort=False):
            by_name = {line["quantity"]: line for line in lines.to_dict("records")}
            mark = comparison.gate.mark(str(label), [str(task)])
            name = f"{label}{origin_mark(comparison.suite, str(label), [str(task)])}"
            row = GridRow(name, tuple(_text(by_name.get(value), mark) for value in figure.values))
            rows.append(row.of(task=str(task), label=str(label)))
        columns = ("Algorithm", *(axis_label(name, records, comparison) for name in figure.values))
        grids.append(Grid(f"{figure.title}: {task}", columns, tuple(rows)))
    return grids


def _text(line: Mapping[Hashable, Any] | None, mark: str) -> Text:
    if line is None:
        return Text(MISSING)
    is_score = line["quantity"] == "score"
    value = points(line["mean"]) if is_score else f"{line['mean']:.3g}"
    spread = points(line["std"]) if is_score else f"{line['std']:.2g}"
    return Text(value, spread if line["seeds"] > 1 else "", mark=mark if is_score else "")
