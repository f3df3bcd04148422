"""Tuning: settings that every entry tries on seeds of their own, before its final runs.

Every entry of a suite is tuned, and by as many settings, or none is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from harness.suite.entry import AlgorithmEntry, Overrides, SeedList, SuiteSection
from harness.suite.problems import unknown
from harness.suite.rows import Row
from harness.suite.yaml_file import Problem
from harness.tasks.spec import TaskSpec

Per = Literal["task", "family"]
_Setting = Annotated[Overrides, Field(min_length=1)]


class Tuning(SuiteSection):
    """What every entry tries; the setting with the best score makes its final runs."""

    seeds: SeedList  # a list, no count, of none of the suite's own
    per: Per = "task"  # whether each task has its choice, or tasks of a family one together
    tasks: list[str] | None = None  # with per: family, ids of those that choose; all if left out
    # By entry: what to try beside its own setting, over all else that the suite says of its config.
    settings: dict[str, Annotated[list[_Setting], Field(min_length=1)]]

    def choosing(self, tasks: Sequence[TaskSpec]) -> list[TaskSpec]:
        """Those of the tasks on which settings are tried."""
        return [task for task in tasks if self.tasks is None or task.id in self.tasks]


def tuning_problems(
    tuning: Tuning, entries: Mapping[str, AlgorithmEntry], seeds: Sequence[int]
) -> Iterator[Problem]:
    """Why its choices would not be fair: unequal effort, or seeds that are final ones too."""
    here, tried = ("tuning", "settings"), tuning.settings
    for label in tried:
        if label not in entries:
            yield Problem((*here, label), unknown("entry", label, entries))
    if absent := [label for label in entries if label not in tried]:
        message = "every entry is tuned or none is: give settings for"
        yield Problem(here, f"{message} {', '.join(absent)}, too")
    counts = {label: len(found) for label, found in tried.items() if label in entries}
    if len({*counts.values()}) > 1:
        listed = ", ".join(f"{label} {count}" for label, count in counts.items())
        yield Problem(here, f"every entry tries as many settings: here are {listed}")
    for label, entry in entries.items():
        if entry.sweep:
            message = "an entry that is tuned has one row: make an entry of each, or do not tune"
            yield Problem(("algorithms", label, "sweep"), message)
    if shared := sorted({*tuning.seeds} & {*seeds}):
        message = f"the final runs have {', '.join(map(str, shared))} too: choose other seeds"
        yield Problem(("tuning", "seeds"), message)


def choosing_tasks(
    tuning: Tuning, rows: Sequence[Row], tasks: Sequence[TaskSpec]
) -> Iterator[Problem]:
    """Tasks that are to choose and cannot, and rows that none of them chooses for."""
    if tuning.tasks is None:
        return
    here, ids = ("tuning", "tasks"), [task.id for task in tasks]
    if tuning.per == "task":
        yield Problem(here, "each task chooses for itself: leave this out, or say `per: family`")
        return
    if len({*tuning.tasks}) < len(tuning.tasks):
        yield Problem(here, "a task is named twice: once is enough")
        return
    if strangers := [name for name in tuning.tasks if name not in ids]:
        yield from (Problem(here, unknown("task", name, ids)) for name in strangers)
        return
    for family in dict.fromkeys(task.family for task in tasks):
        members = [task.id for task in tasks if task.family == family]
        for row in rows:
            mine = [task_id for task_id in members if row.runs_on(task_id)]
            if mine and not {*mine} & {*tuning.tasks}:
                message = f"none of {family} that {row.label} runs on: add one of {', '.join(mine)}"
                yield Problem(here, message)


def equal_settings(
    rows: Sequence[Row], tasks: Sequence[TaskSpec], configs: Mapping[tuple[str, str], Overrides]
) -> Iterator[Problem]:
    """Settings of an entry that come to the same config on a task: one of them is no try.

    rows: of all settings, an entry's own first; configs: by task id and label.
    """
    for task in tasks:
        seen: dict[tuple[str, str], str] = {}
        for row in rows:
            if not row.runs_on(task.id):
                continue
            config = json.dumps(configs[task.id, row.label], sort_keys=True)
            first = seen.setdefault((row.base, config), row.label)
            if first != row.label:
                other = "its own setting" if first == row.base else f"'{first}'"
                message = f"'{row.label}' is {other} on {task.id}: try something else"
                yield Problem(("tuning", "settings", row.base), message)
