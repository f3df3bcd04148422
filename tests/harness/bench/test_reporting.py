from __future__ import annotations

from pathlib import Path

from harness.bench.reporting import make_results
from harness.report.comparison import compare
from harness.report.records import read_records


def test_results_made_up_for_the_bench_are_results(tmp_path: Path) -> None:
    make_results(tmp_path, methods=2, tasks=2, seeds=3)
    records = read_records(tmp_path)
    assert records.damaged == ()
    assert len(records.runs) == 12
    comparison = compare(records)
    assert {len(cell.scores) for cell in comparison.cells.values()} == {3}
    assert comparison.reference == "method-0"
