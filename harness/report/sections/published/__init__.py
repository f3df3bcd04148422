"""Published scores beside the suite's own, and whether those reproduce them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Self

import pandas as pd

from harness.report.comparison import Comparison
from harness.report.layout import Grid
from harness.report.records import Records
from harness.report.section import Section
from harness.report.sections.published.beside import Beside
from harness.report.sections.published.grids import published_grids
from harness.report.sections.published.notes import published_notes
from harness.report.sections.published.numbers import published_csv
from harness.report.sections.published.reproduction import (
    MARGIN,
    Reproduction,
    reproduction_csv,
    reproduction_notes,
    reproductions,
)
from harness.report.sections.published.verdicts import verdict_figure, verdict_grids
from harness.report.style import Drawing

VERDICTS = (
    "Reported against reproduced: ours minus published, with its 95% interval; the band is "
    f"±{MARGIN:g} points, inside which an interval counts as reproduced."
)


class Published(Section):
    """What the literature has on the suite's tasks; nothing where it has nothing."""

    @classmethod
    def all_of(cls, records: Records, comparison: Comparison) -> list[Self]:
        section = cls(records, comparison)
        return [section] if section.beside.tasks or section.reproductions else []

    @property
    def subject(self) -> str:
        return "the published scores"

    @cached_property
    def beside(self) -> Beside:
        """Which published scores stand beside which of the suite's."""
        return Beside(self.comparison)

    @cached_property
    def reproductions(self) -> list[Reproduction]:
        """Every cell that both the literature and the suite have a score of."""
        return reproductions(self.beside)

    def grids(self) -> list[Grid]:
        return [
            *published_grids(self.beside),
            *verdict_grids(self.comparison.suite, self.reproductions),
        ]

    def tables(self) -> dict[str, pd.DataFrame]:
        tables = {"published": published_csv(self.beside)}
        if self.reproductions:
            tables["reproduction"] = reproduction_csv(
                self.reproductions, self.comparison.protocol.name
            )
        return tables

    def drawings(self, folder: Path) -> list[Drawing]:
        if not self.reproductions:
            return []
        files = verdict_figure(self.reproductions, self.comparison.suite.smoke, folder)
        return [Drawing("Reported against reproduced", VERDICTS, tuple(files))]

    def notes(self) -> tuple[str, ...]:
        return (*published_notes(self.beside), *reproduction_notes(self.reproductions))
