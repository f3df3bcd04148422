"""`harness bench --coverage`: how often the intervals of tables hold the truth."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.docs.coverage import Coverages, Share
from harness.files import write_json
from harness.statistics.coverage import SIMULATIONS, simulate


def run_coverage(json_path: Path | None) -> None:
    """Simulate, print, and write `json_path` if given. The numbers are the same everywhere."""
    console = Console()
    console.print(f"{SIMULATIONS:,} simulated experiments of each kind (a minute) …")
    shares = [Share(**asdict(found)) for found in simulate(SIMULATIONS)]
    found = Coverages(simulations=SIMULATIONS, coverage=shares)
    header, *lines = found.rows()
    table = Table(*header, title="Coverage of 95% intervals, by what runs score and seeds")
    for line in lines:
        table.add_row(*line)
    console.print(table)
    if json_path is not None:
        write_json(json_path, found.model_dump())
