"""What rows of the comparison were set to, and in which settings they are not as the others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from harness.report.layout import MISSING
from harness.report.records import Records
from harness.runs.suite_file import RowInfo

Settings = dict[str, str]


class SettingDifference(NamedTuple):
    """A setting in which a row is not as others; `usual` is what most rows have, if most agree."""

    name: str
    value: str
    usual: str


def flatten(values: Mapping[str, Any], prefix: str = "") -> Settings:
    """Nested settings as `outer.inner: value`; leaves are printed as JSON, strings bare."""
    flat: Settings = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value)
    return flat


def settings_by_cell(records: Records) -> dict[tuple[str, str], Settings]:
    """Of every task and label, what its runs recorded; before there are any, what was planned."""
    suite = records.suite
    rows = {row.label: row for row in suite.rows}
    found: dict[tuple[str, str], Settings] = {}
    for run in suite.runs:
        spec = records.specs.get(run.path)
        cell = (run.task, run.label)
        if spec is not None or cell not in found:
            row = rows[run.label]
            config = row.config if spec is None else spec["config"]
            found[cell] = flatten(config) | _beside_the_config(row, suite.steps)
    return found


def differences(
    label: str, rows: Sequence[RowInfo], of: Mapping[str, Settings]
) -> list[SettingDifference]:
    """In what a row is not as the others: those of its own method, or most of all that have it.

    `of` has the settings of every row that is compared, by label.
    """
    method = next(row.id for row in rows if row.label == label)
    siblings = [of[row.label] for row in rows if row.id == method and row.label in of]
    found = []
    for name, value in of[label].items():
        values = [settings[name] for settings in of.values() if name in settings]
        commonest, count = Counter(values).most_common(1)[0]
        usual = commonest if count > len(values) / 2 else value
        if usual != value or any(other.get(name, value) != value for other in siblings):
            found.append(SettingDifference(name, value, usual if usual != value else ""))
    return found


def over_tasks(cells: Mapping[tuple[str, str], Settings], label: str) -> list[tuple[str, str]]:
    """A label's settings by name; one that its tasks differ in lists their values."""
    by_task = {
        task: settings for (task, owner), settings in sorted(cells.items()) if owner == label
    }
    names = dict.fromkeys(name for settings in by_task.values() for name in settings)
    rows = []
    for name in names:
        values = {task: settings.get(name, MISSING) for task, settings in by_task.items()}
        common, *others = dict.fromkeys(values.values())
        each = "; ".join(f"{task}: {value}" for task, value in values.items())
        rows.append((name, each if others else common))
    return rows


def _beside_the_config(row: RowInfo, steps: int) -> Settings:
    acting = {"action selection": row.action_selection} if row.action_selection else {}
    return {"gradient steps": f"{row.steps or steps:,}"} | acting
