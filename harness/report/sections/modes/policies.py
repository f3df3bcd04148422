"""What policies do on tasks with known action modes: support, coverage and KL, beside reward.

Everything is computed from the canonical coordinates of evaluated actions (`measures.csv`), after
a run's last step, for finished runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.report.layout import MISSING, Grid, GridRow, Text
from harness.report.origins import origin_mark
from harness.report.records import Records
from harness.report.sections.modes.divergence import kl_from_behaviour
from harness.tasks.multimodal import FAMILY_NAME
from harness.tasks.multimodal_geometry import ActionModes
from harness.tasks.spec import TaskSpec

Floats = NDArray[np.float64]
_KEY = ("task", "label", "action_selection", "seed")
Key = tuple[str, str, str, int]  # their values

BEHAVIOUR_SAMPLE = 200_000  # actions that the behaviour's own numbers are from
COLUMNS = {
    "reward": "Reward",
    "in_support": "In support",
    "coverage": "Modes covered",
    "mode_entropy": "Entropy of modes",
    "kl": "KL from behaviour",
}
GRID_NOTE = (
    "Means over the actions of the last evaluation, ± the standard deviation over seeds. In "
    "support: the nearest centre is within the radius that holds 99% of its mode. Modes covered: "
    "the share of the K modes in whose support at least 1/(4K) of the actions land. Entropy of "
    "modes: of the actions in the support, in nats. KL(policy || behaviour): contexts pooled, in "
    "nats; the policy's entropy is estimated from nearest neighbours, and the behaviour's row "
    "shows what that estimate says of as many of its actions."
)


def modal_tasks(records: Records) -> list[TaskSpec]:
    """The suite's tasks with known action modes, in its order."""
    return [task for task in records.suite.tasks if has_modes(task)]


def has_modes(task: TaskSpec) -> bool:
    """Whether its action modes are known."""
    return task.family == FAMILY_NAME


def landings(records: Records) -> Iterator[tuple[Key, Floats]]:
    """Canonical actions [episodes, d] of finished runs' last steps, by each action selection."""
    run = ["task", "label", "seed"]
    tasks = {task.id for task in modal_tasks(records)}
    rows = records.measures[records.measures["task"].isin(tasks)]
    if rows.empty:
        return
    rows = rows.merge(records.runs.loc[records.runs["state"] == "done", run], on=run)
    rows = rows[rows["step"] == rows.groupby(run)["step"].transform("max")]
    keys = [*_KEY]
    episodes = rows.pivot_table(index=[*keys, "episode"], columns="name", values="value")
    for key in rows[keys].drop_duplicates().itertuples(index=False, name=None):
        table = episodes.loc[key].dropna(axis="columns", how="all")
        axes = [f"canonical_{axis}" for axis in range(len(table.columns))]
        task, label, selection, seed = key
        yield (str(task), str(label), str(selection), int(seed)), table[axes].to_numpy(float)


def policy_numbers(records: Records) -> pd.DataFrame:
    """One line per run and action selection: the key, then the keys of `COLUMNS`."""
    modes = {task.id: ActionModes.of(task) for task in modal_tasks(records)}
    rows = [
        dict(zip(_KEY, key, strict=True)) | numbers(modes[key[0]], canonical)
        for key, canonical in landings(records)
    ]
    return pd.DataFrame(rows, columns=[*_KEY, *COLUMNS])


def numbers(modes: ActionModes, canonical: Floats) -> dict[str, float]:
    """The keys of `COLUMNS` for canonical actions [N, d]; a mode counts what lands in its support.

    The entropy is NaN if nothing does.
    """
    inside = modes.in_support(canonical)
    nearest, _ = modes.nearest(canonical[inside])
    counts = np.bincount(nearest, minlength=modes.modes)
    shares = counts[counts > 0] / max(1, counts.sum())
    return {
        "reward": float(modes.value(canonical).mean()),
        "in_support": float(inside.mean()),
        "coverage": float((counts >= len(canonical) / (4 * modes.modes)).mean()),
        "mode_entropy": float(-(shares * np.log(shares)).sum()) + 0.0 if len(shares) else math.nan,
        "kl": kl_from_behaviour(modes, canonical),
    }


def behaviour_numbers(modes: ActionModes) -> dict[str, float]:
    """The behaviour's own: KL and coverage are exact, the others from a large fixed sample."""
    canonical = modes.sample(BEHAVIOUR_SAMPLE, np.random.default_rng(0))
    return {
        "reward": float(modes.value(canonical).mean()),
        "in_support": float(modes.in_support(canonical).mean()),
        "coverage": 1.0,
        "mode_entropy": math.log(modes.modes),
        "kl": 0.0,
    }


def mode_grids(records: Records, found: pd.DataFrame) -> list[Grid]:
    """One grid per task: every policy by each action selection, below the behaviour itself.

    `found` are the `policy_numbers` of the records; tasks without any are left out.
    """
    order = [row.label for row in records.suite.rows]
    grids = []
    for task in modal_tasks(records):
        mine = found[found["task"] == task.id]
        if mine.empty:
            continue
        rows = [_behaviour_row(ActionModes.of(task), _actions_of_a_run(records, task.id))]
        for label in order:
            by_selection = mine[mine["label"] == label].groupby("action_selection", sort=False)
            for selection, runs in by_selection:
                name = label + origin_mark(records.suite, label, [task.id])
                row = GridRow(name, (Text(str(selection)), *map(_text, _values(runs))))
                rows.append(row.of(task=task.id, label=label))
        title = f"{task.title}: reward, support and coverage"
        grids.append(Grid(title, ("Policy", "Action selection", *COLUMNS.values()), tuple(rows)))
    return grids


def _behaviour_row(modes: ActionModes, actions: int) -> GridRow:
    exact = behaviour_numbers(modes)
    sample = modes.sample(actions, np.random.default_rng(1))
    estimate = f"{_number(kl_from_behaviour(modes, sample))} by the estimate"
    *others, kl = (_number(exact[name]) for name in COLUMNS)
    texts = (Text("sample"), *map(Text, others), Text(kl, note=estimate))
    return GridRow("behaviour (exact)", texts, summary=True)


def _actions_of_a_run(records: Records, task_id: str) -> int:
    episodes = records.measures.loc[records.measures["task"] == task_id, "episode"]
    return int(episodes.nunique())


def _values(runs: pd.DataFrame) -> Iterator[Floats]:
    for name in COLUMNS:
        yield runs[name].to_numpy(np.float64)


def _text(values: Floats) -> Text:
    spread = (
        _number(float(values.std(ddof=1))) if len(values) > 1 and np.isfinite(values).all() else ""
    )
    return Text(_number(float(values.mean())), spread)


def _number(value: float) -> str:
    if math.isnan(value):
        return MISSING
    return "∞" if math.isinf(value) else f"{value:.3f}"
