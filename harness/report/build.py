"""Writes every artefact of a suite's report from its run folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.report import tables
from harness.report.actions import action_grids
from harness.report.bars import average_bars
from harness.report.comparison import Comparison, compare
from harness.report.curves import learning_curves
from harness.report.data_cards import data_cards
from harness.report.figures import draw_requested, requested_tables
from harness.report.figures.quantity_tables import table_grids, table_numbers
from harness.report.html import page
from harness.report.layout import score_grids, summary_grid
from harness.report.multimodal import mode_grids, policy_numbers
from harness.report.multimodal_figures import mode_figures
from harness.report.notes import Notes, write_notes
from harness.report.online import online_grids, online_numbers
from harness.report.online_figures import CAPTION as ONLINE
from harness.report.online_figures import online_figures
from harness.report.records import Records, read_records
from harness.report.style import Drawing

AVERAGES = "Averages, best first. Lines are 95% intervals; dots, in panels of one task, seeds."
CURVES = (
    "Learning curves: mean over seeds with its 95% band (Student's t, cut off at the panel's "
    "edge). A curve covers the cell's finished runs, or all of them if none has."
)
MODES = (
    "Tasks with known action modes: score, support, coverage and KL against the number of modes; "
    "reward against KL; and where actions land in two dimensions. Methods act in their own ways."
)


@dataclass(frozen=True)
class ReportPaths:
    """Where the artefacts are; `figures` holds the PNG and PDF of every figure page."""

    markdown: Path
    latex: Path
    csv: Path
    scores: Path
    figures: tuple[Path, ...]
    html: Path


@dataclass(frozen=True)
class Report:
    """A finished report: the comparison, its notes, and the files that show them."""

    comparison: Comparison
    notes: Notes
    paths: ReportPaths


def build_report(suite_dir: Path) -> Report:
    """Write tables, figures and page into `suite_dir`; equal results and data give equal bytes.

    Figures of the data need those in the data folder; where they are not, the page says so.
    Raises UserError if the folder or its `suite.json` is missing or malformed.
    """
    records = read_records(suite_dir)
    comparison = compare(records)
    notes = write_notes(comparison)
    wanted = requested_tables(records)
    grids = [*score_grids(comparison), summary_grid(comparison), *action_grids(comparison)]
    grids += [grid for table in wanted for grid in table_grids(table, records, comparison)]
    policies = policy_numbers(records)
    grids += mode_grids(records, policies)
    interaction = online_numbers(records)
    grids += online_grids(records, interaction)
    drawings = _draw(records, comparison, policies, suite_dir / "figures")
    cards = data_cards(records, suite_dir / "figures")
    of_data = [card.drawing for card in cards.values() if card.drawing]
    title = records.suite.title
    more = {table.slug: table_numbers(table, records, comparison) for table in wanted}
    more["action_selections"] = tables.actions_csv(comparison)
    more |= {"policies": policies} if len(policies) else {}
    more |= {"online": interaction} if len(interaction) else {}
    for name, numbers in more.items():
        _write_csv(suite_dir / f"{name}.csv", numbers)
    return Report(
        comparison,
        notes,
        ReportPaths(
            markdown=_write(suite_dir / "table.md", tables.markdown(title, grids, notes)),
            latex=_write(suite_dir / "table.tex", tables.latex(title, grids, notes)),
            csv=_write_csv(suite_dir / "table.csv", tables.table_csv(comparison)),
            scores=_write_csv(suite_dir / "scores.csv", tables.scores_csv(comparison)),
            figures=tuple(path for drawing in [*drawings, *of_data] for path in drawing.files),
            html=_write(
                suite_dir / "report.html", page(records, comparison, grids, notes, drawings, cards)
            ),
        ),
    )


def _draw(
    records: Records, comparison: Comparison, policies: pd.DataFrame, folder: Path
) -> list[Drawing]:
    """Draw every figure into `folder`, which holds nothing else.

    `policies` are the `policy_numbers` of the records.
    """
    folder.mkdir(exist_ok=True)
    for old in (*folder.glob("*.png"), *folder.glob("*.pdf")):
        old.unlink()  # an earlier report may have had others, or more pages
    drawings = [
        Drawing("Averages", AVERAGES, tuple(average_bars(comparison, folder))),
        Drawing("Learning curves", CURVES, tuple(learning_curves(records, comparison, folder))),
        *draw_requested(records, comparison, folder),
    ]
    if modes := mode_figures(records, comparison, policies, folder):
        drawings.append(Drawing("Action modes", MODES, tuple(modes)))
    if online := online_figures(records, comparison, folder):
        drawings.append(Drawing("Going on online", ONLINE, tuple(online)))
    return drawings


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def _write_csv(path: Path, table: pd.DataFrame) -> Path:
    return _write(path, table.to_csv(index=False, lineterminator="\n"))
