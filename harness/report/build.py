"""Writes every artefact of a suite's report from its run folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import pandas as pd

from harness.errors import UserError
from harness.files import refuse_link, write_bytes
from harness.report.comparison import Comparison, compare
from harness.report.layout import Grid
from harness.report.notes import Notes, write_notes
from harness.report.page import page
from harness.report.records import Records, read_records
from harness.report.section import Card, Section
from harness.report.sections import NOTHING_RUN, SECTIONS
from harness.report.sections.published.grids import terminal_averages
from harness.report.sections.scores.grids import terminal_grids
from harness.report.style import Drawing
from harness.report.tables import latex, markdown
from harness.runs.suite_file import SuiteFile

PAGE = "report.html"
T = TypeVar("T")


@dataclass(frozen=True)
class ReportPaths:
    """Where the artefacts are.

    Attributes:
        csv: the scores, as `csv_text` writes them.
        scores: those of every run; None if nothing was run.
        figures: the PNG and PDF of every figure page.
        left: other CSV, PNG and PDF files beside them, from earlier reports or other hands.
    """

    markdown: Path
    latex: Path
    csv: Path
    scores: Path | None
    figures: tuple[Path, ...]
    left: tuple[Path, ...]
    html: Path


@dataclass(frozen=True)
class Report:
    """A finished report: what it is of, its notes, the tables that a terminal shows, its files."""

    records: Records
    comparison: Comparison
    notes: Notes
    terminal: list[Grid]
    paths: ReportPaths


def build_report(
    suite_dir: Path, suite: SuiteFile | None = None, protocol: str | None = None
) -> Report:
    """Write tables, figures and page into `suite_dir`; equal results and data give equal bytes.

    `suite` is what was planned, where that is not what `suite.json` there says: it was not run, or
    names other published scores by now. Of a suite that was not run there is what others published.
    Scores are by `protocol`, the suite's if none is named.
    What is made replaces its earlier version; nothing is deleted. Figures of the data need those in
    the data folder; where they are not, the page says so. A part that cannot be made is left out,
    and every table says so.
    Raises UserError if the folder or its `suite.json` is missing or malformed, if the protocol is
    unknown or needs more evaluations than there are, if the folder of figures is a link, or if the
    suite asks for a figure or table under the name of one that every report has.
    """
    records = read_records(suite_dir, suite)
    comparison = compare(records, protocol)
    was_run = bool(records.suite.runs)
    kinds = SECTIONS if was_run else NOTHING_RUN
    sections = [made for kind in kinds for made in kind.all_of(records, comparison)]
    folder = suite_dir / "figures"
    refuse_link(folder)
    folder.mkdir(parents=True, exist_ok=True)
    attempt = _Attempts()
    parts = _Parts.of(sections, folder, attempt)
    for_terminals = terminal_grids if was_run else terminal_averages
    terminal = attempt("the table for terminals", partial(for_terminals, comparison)) or []
    damage = [*records.damaged, *attempt.failures]
    notes = write_notes(comparison, parts.said, damage, parts.mistakes)
    parts.refuse_shared_files()
    tables = [_write(suite_dir / f"{name}.csv", csv_text(table)) for name, table in parts.tables]
    left = _left(suite_dir, folder, {*parts.figures, *tables})
    title = records.suite.title
    html = page(records, comparison, parts.grids, notes, parts.drawings, parts.cards)
    paths = ReportPaths(
        markdown=_write(suite_dir / "table.md", markdown(title, parts.grids, notes)),
        latex=_write(suite_dir / "table.tex", latex(title, parts.grids, notes)),
        csv=suite_dir / _numbers(records.suite),
        scores=suite_dir / "scores.csv" if was_run else None,
        figures=parts.figures,
        left=left,
        html=_write(suite_dir / PAGE, html),
    )
    return Report(records, comparison, notes, terminal, paths)


def csv_text(table: pd.DataFrame) -> str:
    """A table as a CSV file has it: the same text on other machines.

    Eight significant digits: the last of sixteen depend on the order in which a processor adds.
    """
    return table.to_csv(index=False, lineterminator="\n", float_format="%.8g")


def _numbers(suite: SuiteFile) -> str:
    """The CSV file with what there is of a suite."""
    if suite.runs:
        return "table.csv"
    return "published.csv" if suite.tuning is None else "tuning.csv"


class _Attempts:
    """Makes parts of the report; one that cannot be made takes no other down.

    Attributes:
        failures: a sentence on each part that could not be made.
    """

    def __init__(self) -> None:
        self.failures: list[str] = []

    def __call__(self, part: str, make: Callable[[], T]) -> T | None:
        """What `make` makes, or None."""
        try:
            return make()
        except Exception as error:  # whatever it is, it is said
            reason = str(error)
            if not isinstance(error, UserError):
                reason = f"{type(error).__name__}: {' '.join(reason.split())}"
            self.failures.append(
                f"NOT COMPLETE: {part} could not be made ({reason}), and are as an earlier report "
                "left them, if there was one. All else is complete. If your results are as `run` "
                "left them, this is a fault of the harness: please report it with this sentence "
                "and suite.json."
            )
            return None


@dataclass
class _Parts:
    """What the sections of a report have made, in their order.

    Attributes:
        tables: contents of the CSV files, by name without ending.
        cards: of data sets.
        said: notes.
        mistakes: notes on what the suite asks for and cannot be made.
    """

    grids: list[Grid] = field(default_factory=list)
    tables: list[tuple[str, pd.DataFrame]] = field(default_factory=list)
    drawings: list[Drawing] = field(default_factory=list)
    cards: dict[str, Card] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, sections: Sequence[Section], folder: Path, attempt: _Attempts) -> _Parts:
        """All that could be made; figures are in `folder` then."""
        parts = cls()
        for section in sections:
            parts._add(section, folder, attempt)
        return parts

    def _add(self, section: Section, folder: Path, attempt: _Attempts) -> None:
        of = section.subject
        self.grids.extend(attempt(f"the tables of {of}", section.grids) or ())
        self.tables.extend((attempt(f"the CSV files of {of}", section.tables) or {}).items())
        drawings = attempt(f"the figures of {of}", partial(section.drawings, folder))
        self.drawings.extend(drawings or ())
        self.cards.update(attempt(f"the card of {of}", partial(section.cards, folder)) or {})
        self.said.extend(attempt(f"the notes of {of}", section.notes) or ())
        self.mistakes.extend(attempt(f"the notes of {of}", section.mistakes) or ())

    @property
    def figures(self) -> tuple[Path, ...]:
        """The files of all figures, those of cards last."""
        on_cards = (card.drawing for card in self.cards.values() if card.drawing)
        return tuple(path for drawing in (*self.drawings, *on_cards) for path in drawing.files)

    def refuse_shared_files(self) -> None:
        """Raises UserError if two parts of the report have the same file."""
        names = [path.name for path in self.figures]
        names += [f"{name}.csv" for name, _ in self.tables]
        for name, count in Counter(names).items():
            if count > 1:
                raise UserError(
                    f"The suite asks for a figure or table whose file {name} the report needs for "
                    "another. Change its title in the suite file and run the suite again; finished "
                    "runs are kept."
                )


def _left(suite_dir: Path, figures: Path, written: Container[Path]) -> tuple[Path, ...]:
    """Files among the figures and beside them that a report may have made, and this one has not."""
    found = [path for path in sorted(figures.iterdir()) if path.suffix in {".png", ".pdf"}]
    found += sorted(suite_dir.glob("*.csv"))
    return tuple(path for path in found if path not in written)


def _write(path: Path, text: str) -> Path:
    # Moved into place: a link under that name is replaced, and not followed.
    write_bytes(path, text.encode())
    return path
