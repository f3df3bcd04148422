"""What scores cost: seconds of training, and the time of a single decision."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from harness.report.action_selections import own_selections
from harness.report.names import short_names
from harness.report.notes import SMOKE
from harness.report.panels import WIDTHS
from harness.report.point_names import label_points
from harness.report.section import Section
from harness.report.style import Drawing, LineStyle, all_lines, by_score, save, styled

TRAINING = (
    "Training: wall time of a trial on one core, or with one GPU, over the seeds that it trains at "
    "once, compilation included"
)
DECISION = (
    "Decision: one call of the trained policy for one observation, the median along an episode, by "
    "the row's own action selection"
)
LEAST_ROWS = 3
_X = {
    "train_seconds": "Training, seconds a run",
    "decision_ms": "One decision at batch 1 (ms)",
}
_UNITS = {"train_seconds": "s", "decision_ms": "ms"}


class Cost(Section):
    """Scores against what they took."""

    @property
    def subject(self) -> str:
        return "the costs"

    @cached_property
    def _costs(self) -> pd.DataFrame:
        return run_costs(self)

    def tables(self) -> dict[str, pd.DataFrame]:
        return {"costs": self._costs} if len(self._costs) else {}

    def drawings(self, folder: Path) -> list[Drawing]:
        """Average scores over the ranked tasks, of rows that have finished on all of them."""
        comparison = self.comparison
        scores = {
            label: mean
            for label in by_score(comparison)
            if (mean := comparison.average(label, comparison.everything.tasks)) is not None
        }
        ranked = self._costs[self._costs["task"].isin(comparison.everything.tasks)]
        costs = ranked.groupby(["label", "task"]).mean(numeric_only=True).groupby("label").mean()
        shown = [x for x in _X if costs[x].reindex(list(scores)).notna().sum() >= LEAST_ROWS]
        if not shown:
            return []
        with styled():
            figure, unnamed = _figure(self, scores, costs[shown])
            files = save(figure, folder / "cost")
        said = [TRAINING] if "train_seconds" in shown else []
        said += [DECISION] if "decision_ms" in shown else []
        said += [f"Without a name for want of room: {'; '.join(unnamed)}"] if unnamed else []
        machines = dict.fromkeys(filter(None, comparison.machines.values()))
        caption = (
            "Average score against cost, from finished runs. The grey line joins the rows that no "
            f"cheaper one matches. {'. '.join(said)}. Measured on "
            f"{' and '.join(machines) or 'an unknown machine'}: times of other machines, or "
            "of busier ones, are no comparison."
        )
        return [Drawing("Score against cost", caption, tuple(files))]


def run_costs(section: Section) -> pd.DataFrame:
    """A line per finished run: task, label, seed, train_seconds, decision_ms (NaN if unknown)."""
    records = section.records
    own = own_selections(records.suite)
    decisions = records.decisions
    mine = decisions[decisions["action_selection"] == decisions["label"].map(own)]
    runs = records.runs[records.runs["state"] == "done"]
    stacked = [
        len(records.provenance.get(path, {}).get("trial_seeds", [])) or math.nan
        for path in runs["path"]
    ]
    run = ["task", "label", "seed"]
    costs = runs[run].assign(train_seconds=runs["train_seconds"] / stacked)
    return costs.merge(mine[[*run, "decision_ms"]], how="left", on=run)


def _figure(
    section: Section, scores: Mapping[str, float], costs: pd.DataFrame
) -> tuple[Figure, list[str]]:
    """The figure, and in words the points that it has no room to name."""
    comparison = section.comparison
    styles, (names, _) = all_lines(comparison), short_names(comparison.suite.rows)
    figure = Figure(figsize=(max(WIDTHS[1], 0.6 + 3.6 * len(costs.columns)), 3.4))
    figure.set_layout_engine("constrained")
    panels = figure.subplots(1, len(costs.columns), squeeze=False, sharey=True).ravel()
    found = []
    for x in costs.columns:
        known = {str(label): float(cost) for label, cost in costs[x].dropna().items()}
        found.append(
            {
                names[label]: (known[label], score, styles[label])
                for label, score in scores.items()
                if label in known
            }
        )
    for axes, x, points in zip(panels, costs.columns, found, strict=True):
        _panel(axes, points)
        axes.set_xlabel(_X[x])
    tasks = comparison.everything.tasks
    panels[0].set_ylabel(f"{comparison.score_name}, average of {len(tasks)} tasks")
    if len(tasks) == 1:
        panels[0].set_ylabel(f"{comparison.score_name}, {comparison.title(tasks[0])}")
    if comparison.suite.smoke:
        figure.suptitle(SMOKE, color="#C00000", weight="bold")
    unnamed = [
        f"{name} ({points[name][0]:.3g} {_UNITS[x]}, score {points[name][1]:.1f})"
        for axes, x, points in zip(panels, costs.columns, found, strict=True)
        for name in label_points(axes, {name: points[name] for name in _by_interest(points)})
    ]
    return figure, unnamed


def _panel(axes: Axes, points: Mapping[str, tuple[float, float, LineStyle]]) -> None:
    front = [points[name][:2] for name in _front(points)]
    axes.plot(*zip(*front, strict=True), color="#BBBBBB", linewidth=1.0, drawstyle="steps-post")
    for x, score, line in points.values():
        axes.plot(
            x,
            score,
            marker=line.marker,
            markersize=6 if line.emphasised else 4.5,
            color=line.colour,
            markeredgecolor="white",
            markeredgewidth=0.5,
            zorder=4 if line.emphasised else 3,
        )
    axes.set_xscale("log")
    costs = [x for x, _, _ in points.values()]
    axes.set_xlim(min(costs) / 1.5, max(costs) * 1.8)
    axes.margins(y=0.08)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.grid(True)


def _front(points: Mapping[str, tuple[float, float, LineStyle]]) -> list[str]:
    """Names that no cheaper one matches, by rising cost."""
    best, front = -math.inf, []
    for name in sorted(points, key=lambda name: (points[name][0], -points[name][1])):
        if points[name][1] > best:
            best = points[name][1]
            front.append(name)
    return front


def _by_interest(points: Mapping[str, tuple[float, float, LineStyle]]) -> list[str]:
    """Who is named first where room is short: emphasised methods, the front, the best."""
    front = set(_front(points))
    return sorted(points, key=lambda name: (not points[name][2].emphasised, name not in front))
