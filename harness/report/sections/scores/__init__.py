"""Scores: how well each row of the comparison did on each task and on average."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from harness.report.curves import read_curves
from harness.report.layout import Grid
from harness.report.section import Section
from harness.report.sections.scores.bars import average_bars
from harness.report.sections.scores.curves import learning_curves
from harness.report.sections.scores.evaluations import slope_notes, start_notes
from harness.report.sections.scores.grids import difference_grids, score_grids, summary_grid
from harness.report.sections.scores.numbers import curves_csv, scores_csv, table_csv
from harness.report.style import Drawing

AVERAGES = "Averages, best first. Lines are 95% intervals; dots, in panels of one task, seeds."
CURVES = (
    "Learning curves: mean over seeds, with single seeds as thin lines; from six seeds on its 95% "
    "band instead (Student's t, cut off at the panel's edge). Grey lines: a score of 100 where "
    "scores come near it, and the mean score of the data where they are on this machine. A curve "
    "covers the cell's finished runs, or all of them if none has."
)
NO_CURVES = "Not drawn: no run was evaluated more than once, and a point is no curve."


class Scores(Section):
    """Normalised scores by task and on average."""

    @property
    def subject(self) -> str:
        return "the scores"

    def grids(self) -> list[Grid]:
        summary = [summary_grid(self.comparison)] if self.comparison.ranking else []
        if summary and len(self.comparison.tasks) == 1:
            return summary  # has all that the others would
        return [*score_grids(self.comparison), *summary, *difference_grids(self.comparison)]

    def tables(self) -> dict[str, pd.DataFrame]:
        return {"table": table_csv(self.comparison), "scores": scores_csv(self.comparison)}

    def drawings(self, folder: Path) -> list[Drawing]:
        return [Drawing("Averages", AVERAGES, tuple(average_bars(self.comparison, folder)))]


class LearningCurves(Section):
    """How scores came about."""

    @property
    def subject(self) -> str:
        return "the learning curves"

    def tables(self) -> dict[str, pd.DataFrame]:
        return {"curves": curves_csv(self.records)}

    def drawings(self, folder: Path) -> list[Drawing]:
        files = learning_curves(self.records, self.comparison, folder)
        return [Drawing("Learning curves", CURVES if files else NO_CURVES, tuple(files))]

    def notes(self) -> tuple[str, ...]:
        curves = read_curves(self.records)
        suite = self.records.suite
        return (*start_notes(suite, curves), *slope_notes(self.comparison, curves))
