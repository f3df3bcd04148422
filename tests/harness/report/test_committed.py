"""Committed tables are what the committed runs give, byte for byte, on whatever machine this is."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.report.build import csv_text
from harness.report.comparison import compare
from harness.report.notes import write_notes
from harness.report.records import read_records
from harness.report.sections import SECTIONS
from harness.report.tables import markdown

RESULTS = Path(__file__).resolve().parents[3] / "results"
SUITES = sorted(path.parent.relative_to(RESULTS) for path in RESULTS.glob("*/*/suite.json"))


@pytest.mark.parametrize("suite", SUITES, ids=str)
def test_committed_tables_are_what_their_runs_give(suite: Path) -> None:
    folder = RESULTS / suite
    records = read_records(folder)
    comparison = compare(records)
    sections = [made for kind in SECTIONS for made in kind.all_of(records, comparison)]
    made = {
        f"{name}.csv": csv_text(table)
        for section in sections
        for name, table in section.tables().items()
    }
    grids = [grid for section in sections for grid in section.grids()]
    said = [note for section in sections for note in section.notes()]
    mistakes = [mistake for section in sections for mistake in section.mistakes()]
    notes = write_notes(comparison, said, records.damaged, mistakes)
    made["table.md"] = markdown(records.suite.title, grids, notes)
    committed = [*folder.glob("*.csv"), folder / "table.md"]
    assert {path.name: path.read_text("utf-8") for path in committed} == made
