"""Writes every artefact of a suite's report from its run folders."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.files import write_bytes
from harness.report.comparison import Comparison, compare
from harness.report.html import page
from harness.report.notes import Notes, write_notes
from harness.report.records import read_records
from harness.report.section import Card
from harness.report.sections import SECTIONS
from harness.report.tables import latex, markdown


@dataclass(frozen=True)
class ReportPaths:
    """Where the artefacts are.

    Attributes:
        figures: the PNG and PDF of every figure page.
        left: other PNG and PDF files beside them, from earlier reports or other hands.
    """

    markdown: Path
    latex: Path
    csv: Path
    scores: Path
    figures: tuple[Path, ...]
    left: tuple[Path, ...]
    html: Path


@dataclass(frozen=True)
class Report:
    """A finished report: the comparison, its notes, and the files that show them."""

    comparison: Comparison
    notes: Notes
    paths: ReportPaths


def build_report(suite_dir: Path) -> Report:
    """Write tables, figures and page into `suite_dir`; equal results and data give equal bytes.

    What is made replaces its earlier version; nothing is deleted. Figures of the data need those in
    the data folder; where they are not, the page says so.
    Raises UserError if the folder or its `suite.json` is missing or malformed, or if the suite asks
    for a figure or table under the name of one that every report has.
    """
    records = read_records(suite_dir)
    comparison = compare(records)
    sections = [section(records, comparison) for section in SECTIONS]
    notes = write_notes(comparison, [note for section in sections for note in section.notes()])
    grids = [grid for section in sections for grid in section.grids()]
    folder = suite_dir / "figures"
    folder.mkdir(exist_ok=True)
    drawings = [drawing for section in sections for drawing in section.drawings(folder)]
    cards: dict[str, Card] = {}
    for section in sections:
        cards |= section.cards(folder)
    drawn = [*drawings, *(card.drawing for card in cards.values() if card.drawing)]
    figures = tuple(path for drawing in drawn for path in drawing.files)
    tables = [table for section in sections for table in section.tables().items()]
    _refuse_shared_files([*(path.name for path in figures), *(f"{name}.csv" for name, _ in tables)])
    for name, table in tables:
        _write(suite_dir / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    pictures = (path for path in sorted(folder.iterdir()) if path.suffix in {".png", ".pdf"})
    title = records.suite.title
    html = page(records, comparison, grids, notes, drawings, cards)
    return Report(
        comparison,
        notes,
        ReportPaths(
            markdown=_write(suite_dir / "table.md", markdown(title, grids, notes)),
            latex=_write(suite_dir / "table.tex", latex(title, grids, notes)),
            csv=suite_dir / "table.csv",
            scores=suite_dir / "scores.csv",
            figures=figures,
            left=tuple(path for path in pictures if path not in figures),
            html=_write(suite_dir / "report.html", html),
        ),
    )


def _refuse_shared_files(names: list[str]) -> None:
    """Raises UserError if two parts of the report have the same file."""
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(
                f"The suite asks for a figure or table whose file {name} the report needs for "
                "another. Change its title in the suite file and run the suite again; finished "
                "runs are kept."
            )


def _write(path: Path, text: str) -> Path:
    # Moved into place: a link under that name is replaced, and not followed.
    write_bytes(path, text.encode())
    return path
