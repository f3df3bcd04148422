"""Scores in full precision, for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.report.action_selections import own_selections
from harness.report.comparison import Comparison
from harness.report.earlier_code import MEANING
from harness.report.stats import Interval
from harness.report.tables import with_budget


def table_csv(comparison: Comparison) -> pd.DataFrame:
    """One line per task (or average) and algorithm, in full precision, for other programs."""
    lines: list[dict[str, Any]] = []
    own = own_selections(comparison.suite)
    for task in comparison.tasks:
        best = comparison.best([task])
        for label in comparison.labels:
            cell = comparison.cells[task, label]
            counts = {"seeds": len(cell.scores), "planned_seeds": cell.planned}
            line = {"task": task, "algorithm": label, "action_selection": own[label], **counts}
            line |= {
                "failed_seeds": cell.failed,
                "critic_usable": _usable(comparison, [task], label),
            }
            if len(cell.scores):
                line |= {"mean": cell.mean, "std": cell.std, **_bounds(cell.interval)}
            lines.append(line | {"best": label in best})
    groups = [group for group in comparison.families if len(group.tasks) > 1]
    if len(comparison.families) > 1:
        groups.append(comparison.everything)
    for group in groups:
        best = comparison.best(group.tasks)
        for label in comparison.labels:
            line = {"task": f"average ({group.name})", "algorithm": label, "best": label in best}
            line["action_selection"] = own[label]
            line["critic_usable"] = _usable(comparison, group.tasks, label)
            line["mean"] = comparison.average(label, group.tasks)
            lines.append(line | _bounds(comparison.average_interval(label, group.tasks)))
    numbers = ["mean", "std", "ci95_low", "ci95_high"]
    counted = ["seeds", "planned_seeds", "failed_seeds"]
    names = ["task", "algorithm", "action_selection", *numbers, *counted, "best", "critic_usable"]
    table = pd.DataFrame(lines, columns=names)
    kinds = {**dict.fromkeys(counted, "Int64"), "critic_usable": "boolean"}
    return with_budget(table.astype(kinds), comparison)


def scores_csv(comparison: Comparison) -> pd.DataFrame:
    """One line per planned run with its state and score; the score is empty unless it is done."""
    kept = {(run.task, run.label, run.seed) for run in comparison.suite.runs if run.kept}
    keys = comparison.scores[["task", "label", "seed"]].itertuples(index=False, name=None)
    made = [MEANING if key in kept else "" for key in keys]
    return with_budget(comparison.scores.assign(code=made), comparison)


def _usable(comparison: Comparison, tasks: Sequence[str], label: str) -> bool | None:
    """False where the label trusts an unusable critic; None where nothing was to be judged."""
    row = next(row for row in comparison.suite.rows if row.label == label)
    verdicts = [comparison.gate.verdicts[task].usable for task in tasks]
    if None in verdicts or not row.learns_critic or not comparison.applies(label, tasks):
        return None
    return not comparison.gate.mark(label, tasks)


def _bounds(interval: Interval) -> dict[str, float]:
    return {"ci95_low": interval.low, "ci95_high": interval.high}
