"""Figures of tasks with known action modes: against their number, where actions land, and KL."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from harness.report.action_selections import own_selections
from harness.report.colours import MARKERS
from harness.report.comparison import Comparison
from harness.report.names import full_names, short_names
from harness.report.notes import SMOKE
from harness.report.records import Records
from harness.report.sections.modes.divergence import frontier
from harness.report.sections.modes.policies import Key, behaviour_numbers, landings, modal_tasks
from harness.report.style import (
    CONTEXT,
    LineStyle,
    all_lines,
    by_score,
    handle,
    legend_below,
    lines,
    save,
    styled,
)
from harness.tasks.multimodal_geometry import ActionModes
from harness.tasks.spec import TaskSpec

Floats = NDArray[np.float64]

BEHAVIOUR = LineStyle(colour="#222222", dash=(0, (1, 1.2)), width=1.0)
BEST_AT_KL = LineStyle(colour="#222222", dash="solid", width=1.0, marker="")
SMALLEST_KL = 0.02  # nats; estimates below it, which may be negative, are drawn there
SHOWN_ACTIONS = 500  # dots per panel
MAX_PANELS = 12
_MEASURES = {"reward": "Score", "in_support": "In support", "coverage": "Modes covered", "kl": "KL"}


def mode_figures(
    records: Records, comparison: Comparison, numbers: pd.DataFrame, folder: Path
) -> list[Path]:
    """Write the figures of a suite's multimodal tasks; returns the files, none without numbers.

    `modes.png|pdf`: score, support, coverage and KL against the number of modes, of tasks that
    differ in nothing else; `policies`: the same by method, of all other tasks; `frontier`: reward
    against KL; `landings-…`: where actions land, a file for every task in two dimensions. All of
    them show the methods' own action selections. `numbers` are the `policy_numbers` of the records.
    """
    own = own_selections(comparison.suite)
    numbers = numbers[numbers["action_selection"] == numbers["label"].map(own)]
    if numbers.empty:
        return []
    tasks = [task for task in modal_tasks(records) if (numbers["task"] == task.id).any()]
    landed = [found for found in landings(records) if found[0][2] == own[found[0][1]]]
    with styled():
        series, others = _series(tasks)
        files = []
        if series:
            files += save(_against_modes(comparison, series, numbers), folder / "modes")
        if others:
            files += save(_by_method(comparison, others, numbers), folder / "policies")
        files += save(_against_kl(comparison, tasks, numbers), folder / "frontier")
        for task in tasks:
            if ActionModes.of(task).dim == 2:
                stem = f"landings-{task.id.partition('/')[2]}"
                figure = _landings(comparison, task, landed)
                files += save(figure, folder / stem.replace(".", "_"))
    return files


def _series(tasks: Sequence[TaskSpec]) -> tuple[dict[str, list[TaskSpec]], list[TaskSpec]]:
    """Sets of tasks that differ in the number of modes alone, by what they share, and the rest."""
    found: dict[str, list[TaskSpec]] = {}
    for task in tasks:
        found.setdefault(re.sub(r"^\d+ modes? in ", "", task.title), []).append(task)
    series = {title: group for title, group in found.items() if len(group) > 1}
    return series, [task for group in found.values() if len(group) == 1 for task in group]


def _against_modes(
    comparison: Comparison, rows: Mapping[str, list[TaskSpec]], numbers: pd.DataFrame
) -> Figure:
    """A row of panels for every set of tasks that differ in the number of modes alone."""
    figure = Figure(figsize=(8.6, 1.9 * len(rows) + 0.8), layout="constrained")
    panels = figure.subplots(len(rows), len(_MEASURES), squeeze=False, sharex="row")
    styles = lines(comparison)
    for (title, group), axes_row in zip(rows.items(), panels, strict=True):
        group = sorted(group, key=lambda task: ActionModes.of(task).modes)
        for (name, measure), axes in zip(_MEASURES.items(), axes_row, strict=True):
            _mode_panel(axes, group, numbers, name, styles)
            axes.set_title(f"{measure}, {title}")
    for axes in panels[-1]:
        axes.set_xlabel("Number of modes")
    _legend(figure, comparison, styles, {"behaviour": BEHAVIOUR}, marker=True)
    return figure


def _mode_panel(
    axes: Axes,
    group: Sequence[TaskSpec],
    numbers: pd.DataFrame,
    name: str,
    styles: dict[str, LineStyle],
) -> None:
    counts = [ActionModes.of(task).modes for task in group]
    scale = 100.0 if name == "reward" else 1.0
    exact = [scale * behaviour_numbers(ActionModes.of(task))[name] for task in group]
    _plot(axes, counts, exact, BEHAVIOUR)
    for label, line in styles.items():
        found = [
            (count, values)
            for count, task in zip(counts, group, strict=True)
            if len(values := _finite(numbers, task.id, label, name))
        ]
        if not found:
            continue
        x = [count for count, _ in found]
        _plot(axes, x, [scale * float(values.mean()) for _, values in found], line)
        if line is not CONTEXT:
            ends = [(scale * values.min(), scale * values.max()) for _, values in found]
            axes.vlines(x, *zip(*ends, strict=True), color=line.colour, linewidth=0.7, alpha=0.6)
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.xaxis.set_minor_locator(NullLocator())
    if name == "kl":
        axes.set_yscale("symlog", linthresh=1.0)
        axes.set_ylim(bottom=-0.5)
    else:
        axes.set_ylim(-0.04 * scale, 1.04 * scale)
    axes.grid(True, axis="y")


def _plot(axes: Axes, x: Sequence[int], y: Sequence[float], line: LineStyle) -> None:
    axes.plot(
        x,
        y,
        color=line.colour,
        linestyle=line.dash,
        linewidth=line.width,
        marker=line.marker,
        markersize=3.5,
    )


def _by_method(comparison: Comparison, tasks: Sequence[TaskSpec], numbers: pd.DataFrame) -> Figure:
    """A line per method, best at the top, and a panel per measure; markers are tasks."""
    styles, (names, keys) = all_lines(comparison), short_names(comparison.suite.rows)
    present = set(numbers["label"])
    order = [label for label in by_score(comparison)[::-1] if label in present]
    beside = 0.066 * max(len(names[label]) for label in order)
    extra = 0.17 * math.ceil(len(tasks) / 3) if len(tasks) > 1 else 0.0
    size = (beside + 6.4, 0.19 * (len(order) + 1) + 0.9 + extra + 0.15 * len(keys))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(_MEASURES), sharey=True)
    for (name, measure), axes in zip(_MEASURES.items(), panels, strict=True):
        scale = 100.0 if name == "reward" else 1.0
        for task, marker in zip(tasks, cycle(MARKERS), strict=False):
            exact = scale * behaviour_numbers(ActionModes.of(task))[name]
            _dots(axes, len(order), np.array([exact]), BEHAVIOUR, marker)
            for position, label in enumerate(order):
                found = scale * _finite(numbers, task.id, label, name)
                _dots(axes, position, found, styles[label], marker)
        if name == "kl":
            axes.set_xscale("symlog", linthresh=1.0)
        axes.set_title(f"{measure} (nats)" if name == "kl" else measure)
        axes.grid(True, axis="both")
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(order) + 1), [*(names[label] for label in order), "behaviour"])
    for tick, label in zip(panels[0].get_yticklabels(), order, strict=False):
        tick.set_fontweight("bold" if styles[label].emphasised else "normal")
    panels[0].set_ylim(-0.6, len(order) + 0.6)
    if keys:
        figure.supxlabel("\n".join(keys), fontsize=8)
    if len(tasks) > 1:
        drawn = zip(tasks, cycle(MARKERS), strict=False)
        shown = {task.title: replace(BEHAVIOUR, dash="none", marker=m) for task, m in drawn}
        legend_below(figure, [handle(title, line, marker=True) for title, line in shown.items()])
    else:
        figure.suptitle(tasks[0].title, fontsize=9)
    if comparison.suite.smoke:
        figure.suptitle(SMOKE, color="#C00000", weight="bold")
    return figure


def _dots(axes: Axes, position: int, values: Floats, line: LineStyle, marker: str) -> None:
    """The mean of seeds, and their range."""
    if not len(values):
        return
    axes.hlines(position, values.min(), values.max(), color=line.colour, linewidth=1.0, alpha=0.5)
    axes.plot(
        values.mean(),
        position,
        marker=marker,
        markersize=4.5,
        color=line.colour,
        markeredgecolor="white",
        markeredgewidth=0.4,
    )


def _against_kl(comparison: Comparison, tasks: Sequence[TaskSpec], numbers: pd.DataFrame) -> Figure:
    """Reward against KL, below the best that any policy of that KL earns."""
    tasks = tasks[:MAX_PANELS]
    columns = min(3, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    figure = Figure(figsize=(2.6 * columns + 0.6, 2.1 * rows + 0.9), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    styles = lines(comparison)
    for axes, task in zip(panels, tasks, strict=False):
        kl, reward = frontier(ActionModes.of(task), np.geomspace(0.1, 1e5, 200))
        axes.plot(kl, reward, color=BEHAVIOUR.colour, linewidth=BEST_AT_KL.width)
        axes.fill_between(kl, reward, 1.2, color="#F0F0F0", linewidth=0, zorder=0)
        for label, line in styles.items():
            mine = numbers[(numbers["task"] == task.id) & (numbers["label"] == label)]
            axes.plot(
                mine["kl"].where(np.isfinite(mine["kl"])).clip(lower=SMALLEST_KL),
                mine["reward"],
                linestyle="none",
                marker=line.marker,
                markersize=3.5,
                color=line.colour,
            )
        axes.set_xscale("log")
        axes.set_xlim(left=0.8 * SMALLEST_KL)
        axes.set_ylim(0.0, 1.02)
        axes.set_title(fill(task.title, 28))
        axes.set_xlabel("KL from behaviour (nats)")
        axes.grid(True)
    for axes in panels[len(tasks) :]:
        axes.remove()
    figure.supylabel("Reward (a dot a seed)", fontsize=8)
    _legend(figure, comparison, styles, {"best for that KL": BEST_AT_KL}, marker=True)
    return figure


def _landings(
    comparison: Comparison, task: TaskSpec, landed: Sequence[tuple[Key, Floats]]
) -> Figure:
    """One panel per method: its actions, context turned out, over the behaviour's density."""
    modes = ActionModes.of(task)
    found: dict[str, list[Floats]] = {}
    for (task_id, label, *_), canonical in landed:
        if task_id == task.id:
            found.setdefault(label, []).append(canonical)
    shown = [label for label in by_score(comparison) if label in found][: MAX_PANELS - 1]
    dots = {"behaviour": modes.sample(SHOWN_ACTIONS, np.random.default_rng(0))}
    for label in shown:
        a_seed = math.ceil(SHOWN_ACTIONS / len(found[label]))
        dots[label] = np.concatenate([canonical[:a_seed] for canonical in found[label]])
    columns = min(4, len(dots))
    rows = math.ceil(len(dots) / columns)
    figure = Figure(figsize=(1.9 * columns, 2.05 * rows + 0.35), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    styles, names = (
        all_lines(comparison) | {"behaviour": BEHAVIOUR},
        full_names(comparison.suite.rows),
    )
    for axes, (label, canonical) in zip(panels, dots.items(), strict=False):
        _density(axes, modes)
        colour = styles[label].colour
        x, y = canonical.T
        axes.scatter(x, y, s=3, color=colour, alpha=0.5, linewidths=0, rasterized=True)
        axes.set_title(
            names.get(label, label), fontweight="bold" if styles[label].emphasised else "normal"
        )
    for axes in panels[len(dots) :]:
        axes.remove()
    figure.suptitle(_titled(comparison, f"{task.title}: where actions land"), fontsize=9)
    return figure


def _density(axes: Axes, modes: ActionModes) -> None:
    """Contours that hold 50% and 99% of a mode in 2-D; a star marks the best centre."""
    ticks = np.linspace(-1.1, 1.1, 221)
    x, y = np.meshgrid(ticks, ticks)
    height = modes.log_density(np.stack([x.ravel(), y.ravel()], 1)).reshape(x.shape)
    at_centre = float(modes.log_density(modes.centres[:1])[0])
    levels = [at_centre - modes.support_radius**2 / 2, at_centre - math.log(2)]
    axes.contour(x, y, height, levels, colors="#9A9A9A", linewidths=0.6)
    for marker, centres in (("+", modes.centres[:-1]), ("*", modes.centres[-1:])):
        x, y = centres.T
        axes.scatter(x, y, s=22, marker=marker, color="black", linewidths=0.6, zorder=3)
    axes.set_aspect("equal")
    axes.set_xlim(-1.1, 1.1)
    axes.set_ylim(-1.1, 1.1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["left", "bottom"]].set_visible(False)


def _legend(
    figure: Figure,
    comparison: Comparison,
    styles: dict[str, LineStyle],
    more: dict[str, LineStyle],
    *,
    marker: bool = False,
) -> None:
    names, ranked = full_names(comparison.suite.rows), by_score(comparison)
    named = {names[label]: styles[label] for label in ranked if styles[label] is not CONTEXT}
    named |= more
    legend_below(figure, [handle(label, line, marker) for label, line in named.items()])
    if comparison.suite.smoke:
        figure.suptitle(SMOKE, color="#C00000", weight="bold")


def _titled(comparison: Comparison, title: str) -> str:
    return f"{SMOKE}. {title}" if comparison.suite.smoke else title


def _finite(numbers: pd.DataFrame, task: str, label: str, name: str) -> Floats:
    """The seeds' values that a plot can show."""
    chosen = numbers[(numbers["task"] == task) & (numbers["label"] == label)]
    values: Floats = chosen[name].to_numpy(np.float64)
    finite: Floats = values[np.isfinite(values)]
    return finite
