"""Data: what the runs were trained on, where it is on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from harness.report.comparison import Comparison
from harness.report.records import Records
from harness.report.section import Card, Section
from harness.report.sections.data.cards import data_card
from harness.tasks.spec import TaskSpec


@dataclass(frozen=True)
class Data(Section):
    """The card of a task."""

    task: TaskSpec

    @classmethod
    def all_of(cls, records: Records, comparison: Comparison) -> list[Self]:
        return [cls(records, comparison, task) for task in records.suite.tasks]

    @property
    def subject(self) -> str:
        return f"the data of {self.task.id}"

    def cards(self, folder: Path) -> dict[str, Card]:
        return {self.task.id: data_card(self.records, self.task, folder)}
