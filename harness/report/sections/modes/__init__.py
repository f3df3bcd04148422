"""Action modes: what policies do on tasks where all modes are known."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import pandas as pd

from harness.report.layout import Grid
from harness.report.section import Section
from harness.report.sections.modes.drawings import mode_figures
from harness.report.sections.modes.policies import (
    GRID_NOTE,
    modal_tasks,
    mode_grids,
    policy_numbers,
)
from harness.report.style import Drawing

MODES = (
    "Tasks with known action modes: score, support, coverage and KL against the number of modes; "
    "reward against KL; and where actions land in two dimensions. By the methods' own action "
    "selections."
)


class Modes(Section):
    """Support, coverage and KL beside reward; nothing for a suite without such tasks."""

    @property
    def subject(self) -> str:
        return "the action modes"

    @cached_property
    def _policies(self) -> pd.DataFrame:
        return policy_numbers(self.records)

    def grids(self) -> list[Grid]:
        return mode_grids(self.records, self._policies)

    def tables(self) -> dict[str, pd.DataFrame]:
        return {"policies": self._policies} if len(self._policies) else {}

    def drawings(self, folder: Path) -> list[Drawing]:
        files = mode_figures(self.records, self.comparison, self._policies, folder)
        return [Drawing("Action modes", MODES, tuple(files))] if files else []

    def notes(self) -> tuple[str, ...]:
        return (GRID_NOTE,) if modal_tasks(self.records) else ()
