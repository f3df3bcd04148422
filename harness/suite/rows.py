"""The rows that an entry of a suite stands for: itself, or one a combination of its sweep."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import product

from pydantic import JsonValue

from harness.suite.entry import AlgorithmEntry
from harness.suite.yaml_file import Problem

MAX_LABEL = 150  # letters; labels are parts of folder names


@dataclass(frozen=True)
class Row:
    """One row of the comparison.

    Attributes:
        label: its name, such as `df-div.rho-0.3.flow_steps-10`.
        base: the label of the entry it comes from; the same without a sweep.
        variant: the swept fields and their values here.
        setting: config that tuning tries in the place of the entry's own; empty: that itself.
    """

    label: str
    base: str
    entry: AlgorithmEntry
    variant: Mapping[str, JsonValue]
    setting: dict[str, JsonValue] = field(default_factory=dict)

    @property
    def algorithm(self) -> str:
        """Its id in the registry."""
        return self.entry.algorithm or self.base

    def runs_on(self, task_id: str) -> bool:
        return any(fnmatchcase(task_id, pattern) for pattern in self.entry.tasks)


def row_count(entry: AlgorithmEntry) -> int:
    """How many rows `expand` makes of the entry."""
    return math.prod(map(len, entry.sweep.values()))


def expand(base: str, entry: AlgorithmEntry) -> Iterator[Row]:
    """Every combination of the entry's sweep, the last field changing fastest."""
    for values in product(*entry.sweep.values()):
        variant = dict(zip(entry.sweep, values, strict=True))
        yield Row(label_of(base, variant), base, entry, variant)


def settings(row: Row, tried: Iterable[dict[str, JsonValue]]) -> Iterator[Row]:
    """What tuning tries of a row: its own setting under its own label, and the others."""
    yield row
    for setting in tried:
        yield replace(row, label=label_of(row.label, setting), setting=setting)


def label_of(base: str, variant: Mapping[str, JsonValue]) -> str:
    """`df-div.rho-0.3.flow_steps-10`: made of what file names and patterns may hold."""
    return ".".join([base, *(f"{field}-{spell(value)}" for field, value in variant.items())])


def spell(value: JsonValue) -> str:
    """A value as part of a label: `0.3`, `1e-05`, `true`, `none`, `256-256`, `two_words`."""
    if isinstance(value, dict):
        return "-".join(f"{key}-{spell(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "-".join(map(spell, value))
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return re.sub(r"[^A-Za-z0-9._+-]", "_", str(value))


def label_problems(rows: Iterable[Row]) -> Iterator[Problem]:
    """Labels that two rows would share or that are too long for a folder, and rows given twice."""
    rows = list(rows)
    equals: dict[str, list[Row]] = {}
    counts = Counter(row.label for row in rows)
    bases = {row.label for row in rows if not row.variant and not row.setting}
    seen: set[str] = set()
    for row in rows:
        label = row.label
        if label in seen or not (row.variant or row.setting):
            continue
        seen.add(label)
        path = ("algorithms", row.base, "sweep")
        if row.setting:
            path = ("tuning", "settings", row.base)
        if label in bases:
            yield Problem(path, f"one of its rows is '{label}', which another entry is called")
        elif counts[label] > 1:
            yield Problem(path, f"{counts[label]} of its rows would be '{label}'; keep one")
        before = equals.setdefault(row.base, [])
        same = [r.label for r in before if (r.variant, r.setting) == (row.variant, row.setting)]
        if same:  # as 1 and 1.0 are, whose labels differ
            yield Problem(path, f"'{label}' is '{same[0]}' again; keep one")
        before.append(row)
        if len(label) > MAX_LABEL:
            yield Problem(path, f"'{label}' is too long: at most {MAX_LABEL} letters")
