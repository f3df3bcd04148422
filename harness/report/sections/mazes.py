"""What trained policies do in a maze: the ways they take, over what their critics expect."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import Normal, Stroke

from harness.report.action_selections import own_selections
from harness.report.comparison import Comparison
from harness.report.mazes import draw_floor
from harness.report.panels import draw_pages
from harness.report.records import Records
from harness.report.section import Section
from harness.report.style import Drawing, LineStyle, all_lines, by_score
from harness.runs.suite_file import SuiteFile
from harness.suite.figures import slug
from harness.tasks.maze_floor import MazeFloor
from harness.tasks.spec import TaskSpec

MOST_PANELS = 12
CAPTION = (
    "What trained policies do in {title}, the best rows first: the first episodes of the last "
    "evaluation of seed {seed} (or of a row's first finished one), from dot to cross; the red "
    "square is the goal's cell. Behind them what the row's critic expects of the policy of a point "
    "at rest there: bright is more, each on a scale of its own. Rows without a background have no "
    "critic of states and actions."
)


@dataclass(frozen=True)
class Mazes(Section):
    """The ways through one maze."""

    task: TaskSpec
    floor: MazeFloor

    @classmethod
    def all_of(cls, records: Records, comparison: Comparison) -> list[Self]:
        floors = [(task, MazeFloor.of(task)) for task in records.suite.tasks]
        return [cls(records, comparison, task, floor) for task, floor in floors if floor]

    @property
    def subject(self) -> str:
        return f"the ways through {self.task.id}"

    def drawings(self, folder: Path) -> list[Drawing]:
        """Nothing for runs of earlier versions, which left no ways."""
        paths = self._of_first_seeds(self.records.paths)
        paths = paths[paths["action_selection"] == paths["label"].map(own_selections(self._suite))]
        values = self._of_first_seeds(self.records.values)
        styles, present = all_lines(self.comparison), set(paths["label"])
        ranked = [label for label in by_score(self.comparison) if label in present]
        shown = sorted(ranked, key=lambda label: not styles[label].emphasised)[:MOST_PANELS]
        if not shown:
            return []
        draw = partial(_panel, floor=self.floor, paths=paths, values=values, styles=styles)
        width, height = self.floor.size
        files = draw_pages(
            [label for label in ranked if label in shown],
            draw,
            folder / f"maze-{slug(self.task.id)}",
            self.comparison,
            height=0.35 + 2.1 * height / width,
        )
        caption = CAPTION.format(title=self.task.title, seed=self._suite.seeds[0])
        return [Drawing(f"Ways through {self.task.title}", caption, tuple(files))]

    @property
    def _suite(self) -> SuiteFile:
        return self.records.suite

    def _of_first_seeds(self, table: pd.DataFrame) -> pd.DataFrame:
        """The task's lines of every row's first finished seed."""
        runs = self.records.runs
        done = runs[(runs["state"] == "done") & (runs["task"] == self.task.id)]
        first = done.groupby("label", as_index=False).first()[["task", "label", "seed"]]
        return table.merge(first, on=["task", "label", "seed"])


def _panel(
    axes: Axes,
    label: str,
    *,
    floor: MazeFloor,
    paths: pd.DataFrame,
    values: pd.DataFrame,
    styles: dict[str, LineStyle],
) -> None:
    line = styles[label]
    found = values[values["label"] == label]
    if len(found):
        grid = found.pivot_table(index="y", columns="x", values="value")
        axes.pcolormesh(
            grid.columns, grid.index, grid, shading="nearest", cmap="cividis", rasterized=True
        )
    draw_floor(axes, floor)
    outline = [Stroke(linewidth=2.2, foreground="white"), Normal()]
    for _, way in paths[paths["label"] == label].groupby("episode"):
        x, y = way["x"].to_numpy(np.float64), way["y"].to_numpy(np.float64)
        axes.plot(x, y, color=line.colour, linewidth=1.1, path_effects=outline, zorder=4)
        for place, marker in ((0, "o"), (-1, "X")):
            axes.plot(
                x[place],
                y[place],
                marker=marker,
                markersize=4.5,
                color=line.colour,
                markeredgecolor="white",
                markeredgewidth=0.6,
                zorder=5,
            )
    axes.set_title(label, fontweight="bold" if line.emphasised else "normal")
