"""Aggregate statistics: what all runs of a family of tasks say together, from ten seeds on."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import pandas as pd

from harness.report.layout import Grid
from harness.report.section import Section
from harness.report.sections.aggregates.drawings import (
    draw_efficiency,
    draw_matrices,
    draw_profiles,
    draw_ranks,
)
from harness.report.sections.aggregates.grids import aggregate_grids
from harness.report.sections.aggregates.numbers import (
    aggregates,
    efficiency,
    improvements,
    profiles,
)
from harness.report.sections.aggregates.pools import Pool, pools
from harness.report.style import Drawing
from harness.report.tables import with_budget
from harness.statistics.aggregates import FEWEST_SEEDS

UNSOUND = (
    f"IQM, optimality gap, ranks, P(better), performance profiles and sample efficiency: not sound "
    f"below {FEWEST_SEEDS} seeds, and not shown."
)
MATRIX = (
    "P(better): the chance that a run of the row's method beats one of the column's on a random "
    "task of the family, ties half. Bold: the 95% interval leaves out 0.5."
)
PROFILES = (
    "Performance profiles: the share of runs that score above a level. Bands: 95% intervals, point "
    "by point."
)
RANKS = (
    "Ranks by the family's average, 1 being the best: mean and 95% interval over resamples of the "
    "seeds."
)
EFFICIENCY = (
    "Sample efficiency: the interquartile mean (IQM) of all runs over gradient steps, whatever the "
    "protocol of the tables. Bands: 95% intervals, point by point."
)


class Aggregates(Section):
    """Statistics that a few seeds would get wrong."""

    @property
    def subject(self) -> str:
        return "the aggregate statistics"

    @cached_property
    def pools(self) -> list[Pool]:
        return pools(self.comparison)

    @cached_property
    def numbers(self) -> dict[str, pd.DataFrame]:
        return {
            "aggregates": aggregates(self.pools),
            "improvements": improvements(self.pools),
            "profiles": profiles(self.pools),
            "efficiency": efficiency(self.pools, self.records),
        }

    def grids(self) -> list[Grid]:
        return aggregate_grids(self.comparison, self.pools, self.numbers)

    def tables(self) -> dict[str, pd.DataFrame]:
        if not self.pools:
            return {}
        return {
            # Curves show every evaluation, whatever the protocol.
            name: table if name == "efficiency" else with_budget(table, self.comparison)
            for name, table in self.numbers.items()
        }

    def drawings(self, folder: Path) -> list[Drawing]:
        if not self.pools:
            return []
        comparison, numbers = self.comparison, self.numbers
        return [
            Drawing(
                "P(better)", MATRIX, draw_matrices(numbers["improvements"], comparison, folder)
            ),
            Drawing(
                "Performance profiles",
                PROFILES,
                draw_profiles(numbers["profiles"], comparison, folder),
            ),
            Drawing("Ranks", RANKS, draw_ranks(numbers["aggregates"], comparison, folder)),
            Drawing(
                "Sample efficiency",
                EFFICIENCY,
                draw_efficiency(numbers["efficiency"], comparison, folder),
            ),
        ]

    def notes(self) -> tuple[str, ...]:
        if not self.pools:
            return (UNSOUND,)
        whole = {pool.family.name for pool in self.pools}
        without = [family.name for family in self.comparison.ranking if family.name not in whole]
        absent = f" Not sound below that, and not shown: {', '.join(without)}." if without else ""
        return (
            "IQM (mean of the middle half of all runs), optimality gap (points short of 100), rank "
            f"and P(better): of methods with {FEWEST_SEEDS} seeds or more on all tasks of a "
            "family, over the seeds that all of these share; tasks held fixed. Intervals of IQM "
            "and rank: bootstrap of the seeds within each task, all resamples where they can be "
            "listed, else 50,000 (2,000 for a point of sample efficiency); of the gap: "
            f"Welch-Satterthwaite's t; of P(better) and profiles: Wilson's.{absent}",
        )
