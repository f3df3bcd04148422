"""Training metrics over gradient steps: one panel per metric, one page per task."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from harness.report.comparison import Comparison
from harness.report.names import full_names
from harness.report.panels import count_of_seeds, draw_pages, thousands
from harness.report.records import Records
from harness.report.sections.requested.quantities import finished, shown
from harness.report.style import Drawing, LineStyle, all_lines, handle
from harness.suite.figures import Metrics, slug


def draw_metrics(
    figure: Metrics, records: Records, comparison: Comparison, folder: Path
) -> Drawing:
    """Mean and range over finished seeds; a page for each task that has any."""
    rows = shown(figure, records, finished(records, records.metrics))
    rows = rows[rows["name"].isin(figure.names)]
    present = set(rows["label"])
    styles = {label: line for label, line in all_lines(comparison).items() if label in present}
    names_of = full_names(comparison.suite.rows)
    tasks = [task for task in comparison.tasks if task in set(rows["task"])]
    files = []
    for task in tasks:
        here = rows[rows["task"] == task]
        points = 1 in set(here.groupby(["label", "name"])["step"].nunique())
        legend = [handle(names_of[label], line, marker=points) for label, line in styles.items()]

        def draw(axes: Axes, name: str, task: str = task) -> None:
            chosen = rows[(rows["task"] == task) & (rows["name"] == name)]
            for label, line in styles.items():
                _draw(axes, chosen[chosen["label"] == label], line)
            _finish(axes, name)

        stem = folder / (figure.slug if task == tasks[0] else f"{figure.slug}-{slug(task)}")
        names = [name for name in figure.names if name in set(rows["name"])]
        files += draw_pages(names, draw, stem, comparison, legend=legend)
    seeds = rows.groupby(["task", "label"])["seed"].nunique()
    caption = (
        f"Training metrics by gradient step: mean and range over {count_of_seeds(seeds)}, on "
        f"{', '.join(tasks) or 'no task yet'}."
    )
    return Drawing(figure.title, caption, tuple(files))


def _draw(axes: Axes, rows: pd.DataFrame, line: LineStyle) -> None:
    spread = rows.groupby("step")["value"].agg(["mean", "min", "max"])
    steps = spread.index.to_numpy()
    axes.plot(
        steps,
        spread["mean"],
        color=line.colour,
        linestyle=line.dash,
        linewidth=1.3,
        marker=line.marker if len(steps) == 1 else None,
        markersize=4,
    )
    axes.fill_between(
        steps, spread["min"], spread["max"], color=line.colour, alpha=0.15, linewidth=0
    )


def _finish(axes: Axes, name: str) -> None:
    axes.set_title(name)
    axes.set_xlabel("Gradient steps")
    # From the first logged step: pretraining logs nothing of what follows it.
    axes.grid(True, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(thousands))
    axes.yaxis.set_major_locator(MaxNLocator(5))
