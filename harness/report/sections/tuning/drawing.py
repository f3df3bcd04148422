"""Figure of tuning: the best of n settings, one panel for each task or family."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from harness.report.comparison import Comparison
from harness.report.panels import draw_pages
from harness.report.style import handle, lines

CAPTION = (
    "What tuning gives: the best mean score of n settings on the tuning seeds, on average over all "
    "ways to pick n of those tried (Dodge et al. 2019). The last point is the chosen setting's, on "
    "the seeds that chose it, and so too high: the tables have its scores on others. Settings of "
    "which a run failed are left out, so that a line may end early."
)

TITLE_WIDTH = 28  # characters

_Panel = tuple[str, pd.DataFrame]


def draw_tuning(table: pd.DataFrame, comparison: Comparison, folder: Path) -> list[Path]:
    """Write `tuning.png|pdf`; returns the files, none before a setting has its score."""
    styles = lines(comparison)
    titles = {task.id: task.title for task in comparison.suite.tasks}

    def draw(axes: Axes, panel: _Panel) -> None:
        place, found = panel
        for label, line in styles.items():
            mine = found[found["algorithm"] == label]
            axes.plot(
                mine["settings"],
                mine["score"],
                color=line.colour,
                linestyle=line.dash,
                linewidth=line.width,
                marker=line.marker,
                markersize=3,
            )
        axes.set_title(fill(titles.get(place, place), TITLE_WIDTH, break_on_hyphens=False))
        axes.set_xlabel("Settings tried")
        spot = axes.get_subplotspec()
        if spot is not None and spot.is_first_col():
            axes.set_ylabel("Best score (tuning seeds)")
        axes.grid(True, axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))

    panels = [(str(place), found) for place, found in table.groupby("place", sort=False)]
    tried = {*table["algorithm"]}
    legend = [handle(name, line, marker=True) for name, line in styles.items() if name in tried]
    return draw_pages(panels, draw, folder / "tuning", comparison, height=2.2, legend=legend)
