"""Going on online: what interaction after offline training changed, and what it cost."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import pandas as pd

from harness.report.layout import Grid
from harness.report.section import Section
from harness.report.sections.online.drawing import CAPTION, online_figures
from harness.report.sections.online.numbers import NOTE, online_grids, online_numbers
from harness.report.style import Drawing


class Online(Section):
    """Before and after interaction, and regret; nothing for a suite without interaction."""

    @property
    def subject(self) -> str:
        return "going on online"

    @cached_property
    def _numbers(self) -> pd.DataFrame:
        return online_numbers(self.records)

    def grids(self) -> list[Grid]:
        return online_grids(self.records, self._numbers)

    def tables(self) -> dict[str, pd.DataFrame]:
        return {"online": self._numbers} if len(self._numbers) else {}

    def drawings(self, folder: Path) -> list[Drawing]:
        files = online_figures(self.records, self.comparison, folder)
        return [Drawing("Going on online", CAPTION, tuple(files))] if files else []

    def notes(self) -> tuple[str, ...]:
        return (NOTE,) if self.records.suite.online_steps else ()
