"""Marks on tasks whose scores do not mean the same beside each other, and what the marks say."""

from __future__ import annotations

from collections.abc import Iterable

from harness.tasks.ids import Scale
from harness.tasks.spec import TaskSpec
from harness.tasks.words import SCALES

MARKS = {Scale.D4RL: "", Scale.AS_SHIPPED: "‡", Scale.OWN: "§"}


class Scales:
    """The scales of a comparison's tasks; nothing is marked if all tasks share one."""

    def __init__(self, tasks: Iterable[TaskSpec]) -> None:
        self._of = {task.id: task.scale for task in tasks}
        self._present = [scale for scale in MARKS if scale in self._of.values()]

    def mark(self, tasks: Iterable[str]) -> str:
        """The marks of all scales among the tasks."""
        found = {self._of[task] for task in tasks}
        if len(self._present) < 2:
            return ""
        return "".join(MARKS[scale] for scale in self._present if scale in found)

    def notes(self) -> tuple[str, ...]:
        """What the marks say, if there are any."""
        if len(self._present) < 2:
            return ()
        meanings = "; ".join(
            f"{f'{MARKS[scale]}:' if MARKS[scale] else 'unmarked tasks are'} {SCALES[scale]}"
            for scale in self._present
        )
        return (f"Scales: {meanings}. A mean over several scales has the marks of all.",)
