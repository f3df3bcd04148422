"""Scores for other programs, with more digits than tables show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.report.action_selections import own_selections
from harness.report.cells import Cell
from harness.report.comparison import Comparison
from harness.report.gate import trusts
from harness.report.origins import MEANING
from harness.report.records import Records
from harness.report.tables import with_budget
from harness.statistics.intervals import Interval

NUMBERS = ("mean", "std", "ci95_low", "ci95_high", "episode_error", "episode_share")
DIFFERENCE = ("difference", "difference_ci95_low", "difference_ci95_high", "p", "p_holm", "pairs")
COUNTS = ("seeds", "planned_seeds", "failed_seeds")


def table_csv(comparison: Comparison) -> pd.DataFrame:
    """One line per task (or average) and algorithm, with more digits than tables show.

    The columns from `difference` on are of the algorithm minus the suite's reference.
    """
    named: list[tuple[str, tuple[str, ...]]] = [(task, (task,)) for task in comparison.tasks]
    named += [(f"average ({group.name})", group.tasks) for group in comparison.averaged]
    own = own_selections(comparison.suite)
    lines: list[dict[str, Any]] = []
    for name, tasks in named:
        best = comparison.best(tasks)
        for label in comparison.labels:
            line: dict[str, Any] = {
                "task": name,
                "algorithm": label,
                "action_selection": own[label],
            }
            line |= {"mean": comparison.average(label, tasks), "best": label in best}
            line |= _bounds("ci95", comparison.average_interval(label, tasks))
            line["critic_usable"] = _usable(comparison, tasks, label)
            if len(tasks) == 1:
                line |= _of_cell(comparison.cells[tasks[0], label])
            lines.append(line | _to_reference(comparison, tasks, label))
    names = ["task", "algorithm", "action_selection", *NUMBERS, *COUNTS, "best", "critic_usable"]
    table = pd.DataFrame(lines, columns=[*names, "compared_to", *DIFFERENCE])
    kinds = {**dict.fromkeys([*COUNTS, "pairs"], "Int64"), "critic_usable": "boolean"}
    return with_budget(table.astype(kinds), comparison)


def _of_cell(cell: Cell) -> dict[str, Any]:
    counts = {"seeds": len(cell.scores), "planned_seeds": cell.planned, "failed_seeds": cell.failed}
    spread = {"std": cell.std, "episode_error": cell.episode_error}
    return counts | spread | {"episode_share": cell.episode_share}


def _to_reference(comparison: Comparison, tasks: tuple[str, ...], label: str) -> dict[str, Any]:
    found = comparison.to_reference.get((tasks, label))
    if found is None:
        return {"compared_to": ""}
    difference, corrected = found
    numbers = {"difference": difference.mean, "p": difference.p, "p_holm": corrected}
    bounds = _bounds("difference_ci95", difference.interval)
    return {"compared_to": comparison.reference, "pairs": difference.pairs, **numbers, **bounds}


def scores_csv(comparison: Comparison) -> pd.DataFrame:
    """One line per planned run with its state, score and episode error; empty unless it is done."""
    kept = {(run.task, run.label, run.seed) for run in comparison.suite.runs if run.kept}
    keys = comparison.scores[["task", "label", "seed"]].itertuples(index=False, name=None)
    made = [MEANING if key in kept else "" for key in keys]
    return with_budget(comparison.scores.assign(code=made), comparison)


def curves_csv(records: Records) -> pd.DataFrame:
    """One line per run and evaluation by its own action selection: the mean of its episodes."""
    keys = ["task", "label", "seed", "step"]
    scores: pd.Series[float] = records.evaluations.groupby(keys, sort=False)[
        "normalized_score"
    ].mean()
    return scores.rename("score").reset_index()[["step", "task", "label", "seed", "score"]]


def _usable(comparison: Comparison, tasks: Sequence[str], label: str) -> bool | None:
    """False where the label trusts an unusable critic; None where nothing was to be judged."""
    if comparison.gate.mark(label, tasks):
        return False
    row = next(row for row in comparison.suite.rows if row.label == label)
    verdicts = [comparison.gate.verdicts[task].usable for task in tasks]
    if (
        None in verdicts
        or not trusts(row, row.action_selection)
        or not comparison.applies(label, tasks)
    ):
        return None
    return True


def _bounds(name: str, interval: Interval) -> dict[str, float]:
    return {f"{name}_low": interval.low, f"{name}_high": interval.high}
