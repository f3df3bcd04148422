"""Tuning as tables: every setting with its scores, the chosen ones, and the best of fewer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.report.layout import MISSING, Grid, GridRow, Text, points, split
from harness.report.notes import SMOKE
from harness.runs.suite_file import SuiteFile
from harness.runs.tuning import Choice, Setting, Tried
from harness.statistics.protocols import parse_protocol

CHOSEN = "chosen"


def tuning_grids(choices: Sequence[Choice]) -> list[Grid]:
    """Settings by tuning seeds or, where several tasks or families have choices, by these.

    The chosen ones are in bold. Methods of which nothing has been tried yet are left out.
    """
    begun = {choice.label for choice in choices if any(map(_is_begun, choice.settings))}
    found = [choice for choice in choices if choice.label in begun]
    places = list(dict.fromkeys(choice.place for choice in choices))
    if not found:
        return []
    if len(places) == 1:
        return [_by_seed(found)]
    return [_by_place(found, part) for part in split(places)]


def _by_seed(choices: Sequence[Choice]) -> Grid:
    seeds = list(dict.fromkeys(run.seed for run in choices[0].settings[0].runs))
    rows = [
        GridRow(
            _name(choice, setting),
            (*(_of_seed(setting, seed) for seed in seeds), _mean(choice, setting)),
        )
        for choice in choices
        for setting in choice.settings
    ]
    columns = ("Setting", *(f"seed {seed}" for seed in seeds), "Mean")
    return Grid(f"Tuning on {choices[0].place}: every setting tried", columns, tuple(rows))


def _by_place(choices: Sequence[Choice], places: Sequence[str]) -> Grid:
    texts: dict[str, dict[str, Text]] = {}  # by setting and place
    for choice in choices:
        for setting in choice.settings:
            texts.setdefault(_name(choice, setting), {})[choice.place] = _mean(choice, setting)
    rows = [
        GridRow(name, tuple(found.get(place, Text(MISSING)) for place in places))
        for name, found in texts.items()
    ]
    return Grid("Tuning: every setting tried", ("Setting", *places), tuple(rows))


def _name(choice: Choice, setting: Setting) -> str:
    return f"{setting.row.label}{' (its own)' * (setting is choice.settings[0])}"


def _is_begun(setting: Setting) -> bool:
    return any(run.state != "missing" for run in setting.runs)


def _of_seed(setting: Setting, seed: int) -> Text:
    """The mean over tasks of a seed's scores, or what became of its runs."""
    runs = [run for run in setting.runs if run.seed == seed]
    scores = [run.score for run in runs if run.score is not None]
    return Text(points(float(np.mean(scores)))) if len(scores) == len(runs) else _unfinished(runs)


def _mean(choice: Choice, setting: Setting) -> Text:
    """The mean that settings are chosen by, or what became of its runs."""
    if setting.mean is None:
        return _unfinished(setting.runs)
    chosen = choice.chosen == setting.row.label
    return Text(points(setting.mean), note=CHOSEN if chosen else "", bold=chosen)


def _unfinished(runs: Sequence[Tried]) -> Text:
    return Text("failed" if any(run.state == "failed" for run in runs) else MISSING)


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
    places: dict[str, list[str]] = {}  # by method
    waiting: dict[str, list[str]] = {}
    for choice in choices:
        places.setdefault(choice.label, []).append(choice.place)
        if choice.chosen is None:
            waiting.setdefault(choice.label, []).append(choice.place)
    if not waiting:
        return ()
    everywhere = [label for label in waiting if waiting[label] == places[label]]
    parts = [
        f"{label} on {', '.join(waiting[label])}" for label in waiting if label not in everywhere
    ]
    of = "; ".join([*filter(None, [", ".join(everywhere)]), *parts])
    return (
        f"Tuning has chosen no setting yet of {of}: some of its runs are not done, or all of "
        "them have failed.",
    )
