"""Which published scores stand beside which of the suite's, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from harness.published import Literature, ProtocolName, PublishedCell, method_id, shipped
from harness.report.cells import Cell
from harness.report.comparison import Comparison
from harness.runs.suite_file import RowInfo
from harness.tasks.spec import TaskSpec

# Public data under one name: what is collected under D4RL's is compared with it, and said to be
# other data.
_PUBLIC = {"d4rl", "minari-remote"}


@dataclass(frozen=True)
class ComparedMethod:
    """A method of the table: a row of the suite, or one that only the literature has."""

    method: str
    label: str | None

    @property
    def name(self) -> str:
        return self.label or self.method


@dataclass(frozen=True)
class TaskGroup:
    """Tasks that stand side by side: of one family, and of one level where there are levels."""

    family: str
    level: str
    tasks: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.family} {self.level}".strip()


class Beside:
    """The literature on a suite's tasks, seen from its comparison."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self.suite = comparison.suite
        self.literature = Literature(self.suite.published.scores, shipped())

    @cached_property
    def tasks(self) -> list[str]:
        """The suite's tasks that the literature has, in the suite's order."""
        there = self.literature.tasks()
        return [task for task in self.comparison.tasks if task in there]

    @cached_property
    def groups(self) -> list[TaskGroup]:
        """The tasks by family and level: a level is the third part of an id."""
        groups: dict[tuple[str, str], list[str]] = {}
        for task in self.suite.tasks:
            if task.id in self.tasks:
                level = task.id.split("/")[2] if task.id.count("/") == 2 else ""
                groups.setdefault((task.family, level), []).append(task.id)
        return [TaskGroup(*key, tuple(tasks)) for key, tasks in groups.items()]

    @cached_property
    def families(self) -> list[TaskGroup]:
        """The same by family alone."""
        tasks: dict[str, list[str]] = {}
        for group in self.groups:
            tasks.setdefault(group.family, []).extend(group.tasks)
        return [TaskGroup(family, "", tuple(found)) for family, found in tasks.items()]

    def lines(self, protocol: ProtocolName) -> list[ComparedMethod]:
        """The methods that a table of a protocol is asked to have: the suite's, then others."""
        own = [ComparedMethod(self.method_of(row), row.label) for row in self.suite.rows]
        chosen = self.suite.published.methods
        here = {line.method for line in own}
        if chosen:
            labels = {row.base for row in self.suite.rows}
            ids = [name if name in labels else method_id(name, [name]) for name in chosen]
            shown = {row.label for row in self.suite.rows if row.base in ids}
            own = [line for line in own if line.method in ids or line.label in shown]
            others = [name for name in ids if name not in here and name not in labels]
        else:
            others = [
                name
                for name, tasks in self.literature.methods(protocol).items()
                if name not in here and 2 * len(tasks & {*self.tasks}) >= len(self.tasks)
            ]
        return [*own, *(ComparedMethod(name, None) for name in others)]

    def method_of(self, row: RowInfo) -> str:
        """The method that the literature knows the row by."""
        return self.literature.method_of(row.base, row.id)

    def ours(self, task: str, line: ComparedMethod) -> Cell | None:
        """The suite's own cell, None if no seed finished or it has none."""
        cell = self.comparison.cells.get((task, line.label)) if line.label else None
        return cell if cell is not None and len(cell.scores) else None

    def published(
        self, task: str, line: ComparedMethod, protocol: ProtocolName
    ) -> PublishedCell | None:
        """What the literature has of the line there."""
        return self.literature.cell(task, line.method, protocol)

    def counterpart(self, task: TaskSpec) -> str | None:
        """The task of the literature that one of ours is, or is named after, if there is one."""
        there = self.literature.tasks()
        if task.id in there:
            return task.id
        named = "/".join([task.family, *task.id.split("/")[-2:]])
        return named if task.dataset.source in _PUBLIC and named in there else None

    def has_any(self, line: ComparedMethod, protocol: ProtocolName) -> bool:
        """Whether there is a published number; the first protocol also has what lacks one."""
        first = protocol == self.suite.published.protocols[0]
        absent = self.literature.not_at_hand
        return any(
            self.published(task, line, protocol)
            or (first and (self.ours(task, line) or (task, line.method) in absent))
            for task in self.tasks
        )
