"""Going on online: scores before and after the interaction, and what was lost during it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.report.layout import MISSING, Grid, GridRow, Text
from harness.report.origins import origin_mark
from harness.report.records import Records

Floats = NDArray[np.float64]

COLUMNS = {"before": "Before", "after": "After", "gain": "Gain", "regret": "Regret"}
NOTE = (
    "Before and after interaction: a run's scores by the last evaluation of its offline training "
    "and by its last of all, and their difference. Regret: (100 - score) / 100 of the episodes "
    "that it lived through while it interacted, acting by samples, averaged with the episodes' "
    "lengths as weights; scores above 100 count as 100, so 0 would be the reference's maximum from "
    "the first step on and 1 its minimum throughout. The episode cut off by the end of the budget "
    "does not count."
)
BEST = 100.0  # points; nothing above it makes up for regret


def online_numbers(records: Records) -> pd.DataFrame:
    """One line per finished run: task, label, seed, episodes lived through, the keys of `COLUMNS`.

    Scores are in points. Empty for a suite without interaction; the regret is NaN for a run of
    which no episode ended.
    """
    names = ["task", "label", "seed", "episodes", *COLUMNS]
    if not records.suite.online_steps:
        return pd.DataFrame(columns=names)
    run = ["task", "label", "seed"]
    done = records.runs.loc[records.runs["state"] == "done", run]
    scores = records.evaluations.groupby([*run, "step"])["normalized_score"].mean().unstack("step")
    ends = [records.suite.steps, records.suite.steps + records.suite.online_steps]
    found = done.join(scores.reindex(columns=ends), on=run)  # no run may have come that far
    found.columns = pd.Index([*run, "before", "after"])
    found = found.join(_regrets(records.online), on=run)
    found["episodes"] = found["episodes"].fillna(0).astype(int)
    return found.assign(gain=found["after"] - found["before"])[names].reset_index(drop=True)


def online_grids(records: Records, found: pd.DataFrame) -> list[Grid]:
    """One grid per task, methods by the keys of `COLUMNS`; `found` are the records' numbers."""
    labels = [row.label for row in records.suite.rows]
    grids = []
    for task in records.suite.tasks:
        runs = {
            str(label): rows for label, rows in found[found["task"] == task.id].groupby("label")
        }
        rows = tuple(
            GridRow(
                label + origin_mark(records.suite, label, [task.id]),
                tuple(_text(runs[label], name) for name in COLUMNS),
            ).of(task=task.id, label=label)
            for label in labels
            if label in runs
        )
        if rows:
            title = f"{task.title}: before and after interaction"
            grids.append(Grid(title, ("Algorithm", *COLUMNS.values()), rows))
    return grids


def _regrets(online: pd.DataFrame) -> pd.DataFrame:
    """Episodes and regret of every run that has any."""
    lost = (BEST - online["normalized_score"].clip(upper=BEST)) / BEST
    weighted = online.assign(lost=lost * online["length"])
    runs = weighted.groupby(["task", "label", "seed"])
    return pd.DataFrame(
        {"episodes": runs.size(), "regret": runs["lost"].sum() / runs["length"].sum()}
    )


def _text(runs: pd.DataFrame, name: str) -> Text:
    values: Floats = runs[name].to_numpy(np.float64)
    if np.isnan(values).any():
        return Text(MISSING)
    digits = 3 if name == "regret" else 1
    spread = f"{values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
    return Text(f"{values.mean():.{digits}f}", spread)
