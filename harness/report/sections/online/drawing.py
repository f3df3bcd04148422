"""Figure of going on online: evaluations across the boundary, and the episodes lived through."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from harness.report.comparison import Comparison
from harness.report.curves import read_curves
from harness.report.names import full_names
from harness.report.panels import draw_curve, draw_pages, thousands
from harness.report.records import Records
from harness.report.style import LineStyle, all_lines, handle
from harness.statistics.intervals import Scores
from harness.tasks.spec import TaskSpec

Floats = NDArray[np.float64]
Points = dict[str, tuple[Floats, Scores]]  # by label: steps [N], scores [seeds, N]

CAPTION = (
    "Going on online. Left: evaluations over gradient steps; the dotted line is where offline "
    "training ends and interaction begins, with one step in the environment a gradient step. "
    "Right: while interacting, the mean score of the episodes that ended within the last tenth of "
    "the interaction. Means over seeds, with single seeds as thin lines; from six seeds on the 95% "
    "band of the mean instead (Student's t, cut off at the panel's edge)."
)
WINDOWS = 10  # of the interaction, over which the scores of its episodes are averaged
_POINTS = 60  # of a running mean


def online_figures(records: Records, comparison: Comparison, folder: Path) -> list[Path]:
    """Write `online.png|pdf`, two panels a task; returns the files, none without interaction."""
    if not records.suite.online_steps or records.evaluations.empty:
        return []
    styles = all_lines(comparison)
    curves = read_curves(records)
    panels = []
    for task in records.suite.tasks:
        here = {label: curves[task.id, label] for label in styles if (task.id, label) in curves}
        evaluated = {k: (curve.steps.astype(float), curve.scores) for k, curve in here.items()}
        lived = running_scores(records, task.id)
        panels += [(task, "evaluated", evaluated), (task, "while interacting", lived)]
    names = full_names(records.suite.rows)
    handles = [handle(names[label], line) for label, line in styles.items()]
    draw = partial(_panel, styles=styles, boundary=records.suite.steps)
    return draw_pages(panels, draw, folder / "online", comparison, columns=2, legend=handles)


def running_scores(records: Records, task_id: str) -> Points:
    """Mean scores of the episodes that ended within the latest window, of finished runs.

    A line begins where every seed has ended an episode; windows without one repeat the last.
    """
    run = ["task", "label", "seed"]
    done = records.runs.loc[records.runs["state"] == "done", run]
    rows = records.online[records.online["task"] == task_id].merge(done, on=run)
    begin, length = records.suite.steps, records.suite.online_steps
    steps = np.linspace(begin, begin + length, _POINTS)
    points = {}
    for label, episodes in rows.groupby("label"):
        planned = done[(done["task"] == task_id) & (done["label"] == label)]
        seeds = [
            _running_mean(episodes[episodes["seed"] == seed], steps, length / WINDOWS)
            for seed in planned["seed"]
        ]
        scores = np.array(seeds)
        known = ~np.isnan(scores).any(axis=0)
        if known.any():
            points[str(label)] = (steps[known], scores[:, known])
    return points


def _running_mean(episodes: pd.DataFrame, steps: Floats, window: float) -> Floats:
    """Mean score of the episodes that ended in (step - window, step]. [N] -> [N]."""
    age = steps[:, None] - episodes["step"].to_numpy(np.float64)
    recent = (age >= 0) & (age < window)
    total = recent @ episodes["normalized_score"].to_numpy(np.float64)
    count = recent.sum(axis=1)
    means = pd.Series(np.where(count > 0, total / np.maximum(count, 1), np.nan))
    return np.asarray(means.ffill(), np.float64)


def _panel(
    axes: Axes, panel: tuple[TaskSpec, str, Points], styles: dict[str, LineStyle], boundary: int
) -> None:
    task, what, points = panel
    lowest, highest = 0.0, 1.0
    for label, (steps, scores) in points.items():
        draw_curve(axes, steps, scores, styles[label])
        lowest, highest = min(lowest, scores.min()), max(highest, scores.max())
    margin = 0.05 * (highest - lowest)
    axes.set_ylim(lowest - margin, highest + margin)
    axes.axvline(boundary, color="#444444", linestyle="dotted", linewidth=0.9)
    axes.set_title(f"{task.title}, {what}")
    axes.set_xlabel("Gradient steps")
    axes.set_ylabel("Normalized score")
    axes.grid(True, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(thousands))
    axes.yaxis.set_major_locator(MaxNLocator(5))
