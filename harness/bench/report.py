"""`harness bench`: what is measured, and the table it ends in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from algorithms.engine.precision import Precision
from harness.bench.parts import acting_milliseconds, evaluation_seconds, real_run, start_up_seconds
from harness.bench.rotation import Rate, last_core, measure
from harness.runs.provenance import core_count, cpu_model, package_versions

_SEEDS = 4  # the best stack on the CPUs measured so far is 2 to 8


def run_bench(json_path: Path | None, corl: Path | None = None) -> None:
    """Measure, print, and write `json_path` if given.

    Args:
        json_path: where the numbers go as JSON.
        corl: a checkout of CORL, whose IQL, CQL and EDAC then take part; ratios refer to the same
            method there, of other methods to its IQL.
    """
    console = Console()
    console.print("Training speed: contenders take turns on one core (a few minutes) …")
    workers = [
        _contender("iql"),
        _contender("iql", precision="mixed"),
        _contender("td3-bc"),
        _contender("df-div", "pretraining"),
        _contender("df-div", "improvement"),
        _contender("df-dir", "improvement"),
        _contender("df-div-joint", "improvement"),
    ]
    bases: dict[str, str] = {}
    if corl is not None:
        theirs = {name: f"CORL {name}, 1 seed" for name in ("iql", "cql", "edac")}
        workers += [_contender("cql"), _contender("edac")]
        bases = {ours: theirs[args[1]] for ours, args in workers if args[1] in theirs}
        bases |= {name: name for name in theirs.values()}
        folder = str(corl.absolute())
        workers = [(name, ["corl", script, folder]) for script, name in theirs.items()] + workers
    rates = measure(workers, last_core(), bases)
    console.print(_rates_table(rates))
    if corl is None:
        console.print("For the ratio to CORL: harness bench --corl FOLDER (a checkout of CORL)")

    console.print("A real run of 20,000 steps on 1M transitions …")
    parts = {
        "import harness, seconds (target < 1)": start_up_seconds("-c", "import harness"),
        "harness list algorithms, seconds (target < 1)": start_up_seconds(
            "-m", "harness", "list", "algorithms"
        ),
        "evaluation of 10 UMaze episodes x 3 seeds, seconds (target < 2)": evaluation_seconds(),
        "acting, df-div, T = 10, 10 observations, ms (target <= 5)": acting_milliseconds(),
        **real_run(),
    }
    table = Table("measure", "median", title="Everything else")
    for name, value in parts.items():
        table.add_row(name, f"{value:.3g}")
    console.print(table)
    if json_path is not None:
        content: dict[str, Any] = {
            "training": [asdict(rate) for rate in rates],
            "parts": parts,
            "cpu": cpu_model(),
            "cores": core_count(),
            "packages": package_versions(),
        }
        json_path.write_text(json.dumps(content, indent=2) + "\n")


def _contender(
    algorithm: str, part: str = "all", precision: Precision = "fp32"
) -> tuple[str, Sequence[str]]:
    training = "" if part == "all" else f" {part}"
    name = f"{algorithm}{training}, {_SEEDS} seeds, {precision}"
    return name, ["engine", algorithm, str(_SEEDS), part, precision]


def _rates_table(rates: list[Rate]) -> Table:
    table = Table(
        "contender",
        "updates a CPU-second, all seeds",
        "min - max",
        "compared",
        "peak MB",
        title="Training: 2 x 256 (cql, edac: 3 x 256), batch 256, obs 17, act 6, 1M rows, one core",
    )
    for rate in rates:
        spread = f"{rate.low:.3g} - {rate.high:.3g}"
        row = [rate.name, f"{rate.median:.3g}", spread, f"{rate.ratio:.2f} x {rate.base}"]
        table.add_row(*row, f"{rate.peak_memory_mb:.0f}")
    return table
