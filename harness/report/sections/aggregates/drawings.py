"""Figures of aggregate statistics: one panel per family of tasks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from harness.report.comparison import Comparison
from harness.report.names import full_names
from harness.report.panels import draw_pages, thousands
from harness.report.style import CONTEXT, LineStyle, lines

MOST_NUMBERED = 16  # methods of a matrix with numbers in its squares
MOST_BANDS = 4  # curves of a panel with a band each; beyond, only emphasised ones have one

Panel = tuple[str, pd.DataFrame]  # a family and its numbers


def draw_matrices(table: pd.DataFrame, comparison: Comparison, folder: Path) -> tuple[Path, ...]:
    """Write `p-better.png|pdf`; returns the files."""
    largest = max((panel["algorithm"].nunique() for _, panel in _panels(table)), default=0)
    height = 0.9 + 0.3 * largest
    stem = folder / "p-better"
    draw = partial(_matrix, names=full_names(comparison.suite.rows))
    return tuple(draw_pages(_panels(table), draw, stem, comparison, columns=1, height=height))


def draw_profiles(table: pd.DataFrame, comparison: Comparison, folder: Path) -> tuple[Path, ...]:
    """Write `profiles.png|pdf`; returns the files."""
    styles = lines(comparison)

    def draw(axes: Axes, panel: Panel) -> None:
        _curves(axes, panel, styles, "level", "share")
        axes.set_xlabel(f"{comparison.score_name} above")
        axes.set_ylabel("Share of runs")
        axes.set_ylim(0, 1.02)

    stem, legend = folder / "profiles", _legend(table, styles, comparison)
    panels = _panels(table)
    return tuple(draw_pages(panels, draw, stem, comparison, height=2.4, legend=legend))


def draw_efficiency(table: pd.DataFrame, comparison: Comparison, folder: Path) -> tuple[Path, ...]:
    """Write `efficiency.png|pdf`, unless runs were evaluated once only; returns the files."""
    if table.groupby("family")["step"].nunique().max() < 2:
        return ()
    styles = lines(comparison)

    def draw(axes: Axes, panel: Panel) -> None:
        _curves(axes, panel, styles, "step", "iqm")
        axes.set_xlabel("Gradient steps")
        axes.set_ylabel("IQM of normalized scores")
        axes.xaxis.set_major_formatter(FuncFormatter(thousands))

    stem, legend = folder / "efficiency", _legend(table, styles, comparison)
    panels = _panels(table)
    return tuple(draw_pages(panels, draw, stem, comparison, height=2.4, legend=legend))


def draw_ranks(table: pd.DataFrame, comparison: Comparison, folder: Path) -> tuple[Path, ...]:
    """Write `ranks.png|pdf`; returns the files."""
    largest = max((len(panel) for _, panel in _panels(table)), default=0)
    draw = partial(_ranks, styles=lines(comparison), names=full_names(comparison.suite.rows))
    height = 0.7 + 0.2 * largest
    stem = folder / "ranks"
    return tuple(draw_pages(_panels(table), draw, stem, comparison, columns=2, height=height))


def _panels(table: pd.DataFrame) -> list[Panel]:
    return [(str(family), panel) for family, panel in table.groupby("family", sort=False)]


def _matrix(axes: Axes, panel: Panel, names: dict[str, str]) -> None:
    family, table = panel
    labels = list(dict.fromkeys(table["algorithm"]))
    shares = table.pivot(index="algorithm", columns="other", values="p_better")
    squares = shares.reindex(index=labels, columns=labels).to_numpy(np.float64)
    axes.imshow(squares, cmap="RdBu", vmin=0, vmax=1, aspect="auto")
    ticks = [names[label] for label in labels]
    axes.set_xticks(range(len(labels)), ticks, rotation=45, ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(labels)), ticks)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(f"{family}: chance that the row's method beats the column's")
    if len(labels) > MOST_NUMBERED:
        return
    for line in table.to_dict("records"):
        share = line["p_better"]
        decided = not line["p_better_ci95_low"] <= 0.5 <= line["p_better_ci95_high"]
        axes.text(
            labels.index(line["other"]),
            labels.index(line["algorithm"]),
            f"{share:.2f}",
            ha="center",
            va="center",
            fontsize=7.5,
            weight="bold" if decided else "normal",
            color="white" if abs(share - 0.5) > 0.33 else "black",
        )


def _curves(axes: Axes, panel: Panel, styles: dict[str, LineStyle], x: str, y: str) -> None:
    """A line for each method with its band, where these do not hide each other."""
    family, table = panel
    every_band = table["algorithm"].nunique() <= MOST_BANDS
    for label in (label for label in styles if label in {*table["algorithm"]}):
        line, found = styles[label], table[table["algorithm"] == label]
        axes.plot(found[x], found[y], color=line.colour, linestyle=line.dash, linewidth=line.width)
        if every_band or line.emphasised:
            bounds = (found[f"{y}_ci95_low"], found[f"{y}_ci95_high"])
            axes.fill_between(found[x], *bounds, color=line.colour, alpha=0.14, linewidth=0)
    axes.grid(True, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_title(family)


def _ranks(axes: Axes, panel: Panel, styles: dict[str, LineStyle], names: dict[str, str]) -> None:
    family, table = panel
    ordered = table.sort_values("rank", ascending=False)
    for place, line in enumerate(ordered.to_dict("records")):
        style = styles[str(line["algorithm"])]
        bounds = [line["rank_ci95_low"], line["rank_ci95_high"]]
        axes.plot(bounds, [place, place], color=style.colour, linewidth=2.2, alpha=0.6)
        axes.plot(line["rank"], place, marker="o", markersize=4.5, color=style.colour)
    axes.set_yticks(range(len(ordered)), [names[label] for label in ordered["algorithm"]])
    axes.set_ylim(-0.6, len(ordered) - 0.4)
    axes.set_xlim(0.5, len(ordered) + 0.5)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.grid(True, axis="x")
    axes.set_xlabel("Rank by average score")
    axes.set_title(family)


def _legend(
    table: pd.DataFrame, styles: dict[str, LineStyle], comparison: Comparison
) -> list[Line2D]:
    """Best first; methods that only give context share a name."""
    shown = list(dict.fromkeys(table["algorithm"]))
    names = full_names(comparison.suite.rows)
    named = {names[label]: styles[label] for label in shown if styles[label] is not CONTEXT}
    if others := len(shown) - len(named):
        named[f"{others} others"] = CONTEXT
    return [
        Line2D([], [], color=line.colour, linestyle=line.dash, linewidth=line.width, label=label)
        for label, line in named.items()
    ]
