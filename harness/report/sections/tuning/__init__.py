"""Tuning: every setting tried, the one chosen, and what fewer tries would have given."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import pandas as pd

from harness.report.layout import Grid
from harness.report.section import Section
from harness.report.sections.tuning.drawing import CAPTION, draw_tuning
from harness.report.sections.tuning.numbers import best_of, tried_runs, tuning_grids, undecided
from harness.report.style import Drawing
from harness.runs.tuning import Choice, choices


class Tuning(Section):
    """The tuning runs of a suite; nothing for a suite without."""

    @property
    def subject(self) -> str:
        return "tuning"

    @cached_property
    def _choices(self) -> list[Choice]:
        suite = self.records.suite
        if suite.tuning is None:
            return []
        return choices(self.records.folder, suite.tasks, suite.tuning, suite.evaluation.protocol)

    def grids(self) -> list[Grid]:
        return tuning_grids(self._choices)

    def tables(self) -> dict[str, pd.DataFrame]:
        if not self._choices:
            return {}
        suite = self.records.suite
        return {
            "tuning": tried_runs(self._choices, suite),
            "tuning_best_of": best_of(self._choices, suite),
        }

    def drawings(self, folder: Path) -> list[Drawing]:
        if not self._choices:
            return []
        table = best_of(self._choices, self.records.suite)
        files = draw_tuning(table, self.comparison, folder)
        return [Drawing("What tuning gives", CAPTION, tuple(files))] if files else []

    def notes(self) -> tuple[str, ...]:
        return undecided(self._choices)
