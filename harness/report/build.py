"""Writes every artefact of a suite's report from its run folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.report import tables
from harness.report.bars import average_bars
from harness.report.comparison import Comparison, compare
from harness.report.curves import learning_curves
from harness.report.html import page
from harness.report.layout import score_grids, summary_grid
from harness.report.notes import Notes, write_notes
from harness.report.records import read_records


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
    """Write tables, figures and page into `suite_dir`; equal results give equal bytes.

    Raises UserError if the folder or its `suite.json` is missing or malformed.
    """
    records = read_records(suite_dir)
    comparison = compare(records)
    notes = write_notes(comparison)
    grids = [*score_grids(comparison), summary_grid(comparison)]
    folder = suite_dir / "figures"
    folder.mkdir(exist_ok=True)
    for old in (*folder.glob("curves*.p*"), *folder.glob("averages.p*")):
        old.unlink()  # an earlier report may have had more pages
    figures = (*average_bars(comparison, folder), *learning_curves(records, comparison, folder))
    images = [path for path in figures if path.suffix == ".png"]
    title = records.suite.title
    return Report(
        comparison,
        notes,
        ReportPaths(
            markdown=_write(suite_dir / "table.md", tables.markdown(title, grids, notes)),
            latex=_write(suite_dir / "table.tex", tables.latex(title, grids, notes)),
            csv=_write_csv(suite_dir / "table.csv", tables.table_csv(comparison)),
            scores=_write_csv(suite_dir / "scores.csv", tables.scores_csv(comparison)),
            figures=figures,
            html=_write(suite_dir / "report.html", page(records, comparison, grids, notes, images)),
        ),
    )


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def _write_csv(path: Path, table: pd.DataFrame) -> Path:
    return _write(path, table.to_csv(index=False, lineterminator="\n"))
