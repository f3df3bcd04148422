"""Data: what the runs were trained on, where it is on this machine."""

from __future__ import annotations

from pathlib import Path

from harness.report.section import Card, Section
from harness.report.sections.data.cards import data_card


class Data(Section):
    """A card for each task."""

    def cards(self, folder: Path) -> dict[str, Card]:
        return {task.id: data_card(self.records, task, folder) for task in self.records.suite.tasks}
