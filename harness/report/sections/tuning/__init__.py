"""Tuning: every setting tried, the one chosen, and what fewer tries would have given."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import pandas as pd

from harness.report.layout import Grid
from harness.report.origins import checkout_notes
from harness.report.section import Section
from harness.report.sections.tuning.drawing import CAPTION, draw_tuning
from harness.report.sections.tuning.numbers import best_of, tried_runs, tuning_grids, undecided
from harness.report.style import Drawing
from harness.runs.checkout import Checkout
from harness.runs.folder import read_json
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
        return (*undecided(self._choices), *self._checkouts())

    def _checkouts(self) -> Iterator[str]:
        """Of which commits the finished runs are that settings were chosen by, by method."""
        tuning = self.records.suite.tuning
        if tuning is None:
            return
        base = {row.label: row.base for row in tuning.rows}
        runs = [run.model_copy(update={"label": base[run.label]}) for run in tuning.runs]
        tried = [run for choice in self._choices for each in choice.settings for run in each.runs]
        done = {
            run.path: Checkout.of(
                read_json(self.records.folder / run.path / "provenance.json") or {}
            )
            for run in tried
            if run.score is not None
        }
        yield from checkout_notes(runs, done, subject="Code of tuning")
