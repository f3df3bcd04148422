"""Marks on tasks whose scores do not mean the same beside each other, and what the marks say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from harness.tasks.spec import TaskSpec

Scale = Literal["d4rl", "as-shipped", "own"]

MARKS: dict[Scale, str] = {"d4rl": "", "as-shipped": "‡", "own": "§"}
_MEANING: dict[Scale, str] = {
    "d4rl": "unmarked tasks are scored as D4RL's are, with its rewards, ends and reference scores",
    "as-shipped": "‡: scored in the environment that Minari's public data come with, by the "
    "reference scores that come with them",
    "own": "§: scored by what is known of the task, on a scale that no other work has",
}


def scale_of(task: TaskSpec) -> Scale:
    """On whose scale the task's scores are, by where its reference scores are from."""
    if task.reference.source.startswith("D4RL "):
        return "d4rl"
    return "as-shipped" if "Minari dataset" in task.reference.source else "own"


class Scales:
    """The scales of a comparison's tasks; nothing is marked if all tasks share one."""

    def __init__(self, tasks: Iterable[TaskSpec]) -> None:
        self._of = {task.id: scale_of(task) for task in tasks}
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
        meanings = "; ".join(_MEANING[scale] for scale in self._present)
        return (f"Scales: {meanings}. A mean over several scales has the marks of all.",)
