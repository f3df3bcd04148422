"""Tuning as tables: every setting with its score on every tuning seed, and the best of fewer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.report.layout import MISSING, Grid, GridRow, Text, points
from harness.report.notes import SMOKE
from harness.runs.suite_file import SuiteFile
from harness.runs.tuning import Choice, Setting
from harness.statistics.protocols import parse_protocol

CHOSEN = "chosen"


def tuning_grids(choices: Sequence[Choice]) -> list[Grid]:
    """One table for each task or family: settings by tuning seeds, those chosen in bold."""
    grids = []
    for place in dict.fromkeys(choice.place for choice in choices):
        here = [choice for choice in choices if choice.place == place]
        seeds = list(dict.fromkeys(run.seed for run in here[0].settings[0].runs))
        rows = [
            GridRow(
                f"{setting.row.label} (its own)"
                if setting is choice.settings[0]
                else setting.row.label,
                (
                    *(_of_seed(setting, seed) for seed in seeds),
                    _mean(setting, choice.chosen == setting.row.label),
                ),
            )
            for choice in here
            for setting in choice.settings
        ]
        columns = ("Setting", *(f"seed {seed}" for seed in seeds), "Mean")
        grids.append(Grid(f"Tuning on {place}: every setting tried", columns, tuple(rows)))
    return grids


def _of_seed(setting: Setting, seed: int) -> Text:
    """The mean over tasks of a seed's scores, or what became of its runs."""
    runs = [run for run in setting.runs if run.seed == seed]
    scores = [run.score for run in runs if run.score is not None]
    if len(scores) == len(runs):
        return Text(points(float(np.mean(scores))))
    return Text("failed" if any(run.state == "failed" for run in runs) else MISSING)


def _mean(setting: Setting, chosen: bool) -> Text:
    return Text(points(setting.mean), note=CHOSEN if chosen else "", bold=chosen)


def tried_runs(choices: Sequence[Choice], suite: SuiteFile) -> pd.DataFrame:
    """One line per tuning run: its setting, state and score, and whether the setting is chosen."""
    return pd.DataFrame(
        [
            {
                "task": run.task,
                "algorithm": choice.label,
                "setting": setting.row.label,
                "own": setting is choice.settings[0],
                "seed": run.seed,
                "state": run.state,
                "score": run.score,
                "chosen_for": choice.place if choice.chosen == setting.row.label else "",
                "protocol": suite.evaluation.protocol,
                "note": SMOKE if suite.smoke else "",
            }
            for choice in choices
            for setting in choice.settings
            for run in setting.runs
        ]
    ).astype({"score": float})


def best_of(choices: Sequence[Choice], suite: SuiteFile) -> pd.DataFrame:
    """What the best of n settings scores on the tuning seeds, on average over all ways to pick n.

    Columns: place, algorithm, settings (n), score; of the settings all of whose runs are done.
    """
    lines = []
    for choice in choices:
        found = [setting.mean for setting in choice.settings]
        means = np.array([mean for mean in found if mean is not None])
        for n in range(1, len(means) + 1):
            score = float(parse_protocol(f"expected-best-of-{n}").weights(means) @ means)
            lines.append((choice.place, choice.label, n, score))
    columns = ["place", "algorithm", "settings", "score"]
    table = pd.DataFrame(lines, columns=columns)
    return table.assign(note=SMOKE if suite.smoke else "")


def undecided(choices: Sequence[Choice]) -> tuple[str, ...]:
    """A sentence on the methods that have no setting yet, if there are any."""
    waiting = [f"{choice.label} on {choice.place}" for choice in choices if choice.chosen is None]
    if not waiting:
        return ()
    return (
        f"Tuning has chosen no setting yet of {', '.join(waiting)}: some of its runs are not done, "
        "or all of them have failed.",
    )
