"""What changed between two results of a suite: scores seed by seed, and specs field by field."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness.report.comparison import compare
from harness.report.records import Records
from harness.statistics.intervals import t_interval

_CELL = ["task", "label"]
_OF_A_RUN = {"seed", "hash", "cell", "label"}  # of a spec, beside what a cell's runs have in common


@dataclass(frozen=True)
class Change:
    """A field of specs that is another now.

    Attributes:
        field: such as `config.learning_rate`, `dataset_sha256` or `code`.
        before, after: its values as JSON; empty where it is not there.
        cells: task and label, in order.
    """

    field: str
    before: str
    after: str
    cells: tuple[tuple[str, str], ...]


def score_differences(first: Records, second: Records) -> pd.DataFrame:
    """A line for each cell of either: task, label, first, second, paired, difference, low, high.

    All scores are by the first's protocol. `first` and `second` are means over all finished seeds,
    in points. `difference` is second minus first over the `paired` seeds that both have finished,
    `low` and `high` its 95% interval by Student's t over them; NaN where there are too few.
    Raises UserError if a run has too few evaluations for the protocol.
    """
    protocol = first.suite.evaluation.protocol
    sides = [_scores(records, protocol) for records in (first, second)]
    cells = list(dict.fromkeys(cell for side in sides for cell in side))
    rows = []
    for cell in cells:
        before, after = (side.get(cell, {}) for side in sides)
        seeds = sorted(before.keys() & after.keys())
        apart = np.array([after[seed] - before[seed] for seed in seeds])
        low, high = t_interval(apart) if len(apart) > 1 else (np.nan, np.nan)
        means = [np.mean([*side.values()]) if side else np.nan for side in (before, after)]
        mean = apart.mean() if len(apart) else np.nan
        rows.append((*cell, *means, len(seeds), mean, low, high))
    columns = [*_CELL, "first", "second", "paired", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def spec_changes(first: Records, second: Records) -> list[Change]:
    """Every field that differs in a cell that both have, equal differences together."""
    sides = [_specs(records) for records in (first, second)]
    cells: dict[tuple[str, str, str], list[tuple[str, str]]] = defaultdict(list)
    for cell in sides[0]:
        if cell in sides[1]:
            before, after = (dict(_flat(side[cell])) for side in sides)
            for field in {**before, **after}:
                values = before.get(field, ""), after.get(field, "")
                if values[0] != values[1]:
                    cells[field, *values].append(cell)
    return [Change(*change, tuple(found)) for change, found in cells.items()]


def _scores(records: Records, protocol: str) -> dict[tuple[str, str], dict[int, float]]:
    """Finished runs' scores by cell and seed; an empty cell has none."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for run in compare(records, protocol).scores.to_dict("records"):
        cell = found.setdefault((run["task"], run["label"]), {})
        if not pd.isna(run["score"]):
            cell[run["seed"]] = run["score"]
    return found


def _specs(records: Records) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The spec of each cell's first run."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for run in records.suite.runs:
        if run.path in records.specs:
            found.setdefault((run.task, run.label), records.specs[run.path])
    return found


def _flat(spec: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every field with its value as JSON, those of objects with their names before."""
    for name, value in spec.items():
        if not prefix and name in _OF_A_RUN:
            continue
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", json.dumps(value)
