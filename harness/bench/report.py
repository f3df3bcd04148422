"""`harness bench`: what is measured, and the tables it ends in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.bench import acting
from harness.bench.contenders import (
    ROUNDED,
    SEEDS,
    engine_worker,
    gpu_workers,
    groups,
    matching,
    unifloral_workers,
)
from harness.bench.corl import script_of
from harness.bench.parts import acting_milliseconds, evaluation_seconds, real_run, start_up_seconds
from harness.bench.rotation import Rate, ask, last_core, measure
from harness.bench.scale import scale_parts
from harness.docs.acting import ActingTime, ActingTimes
from harness.errors import UserError
from harness.files import write_json
from harness.runs.provenance import circumstances


def run_bench(json_path: Path | None, corl: Path | None = None) -> None:
    """Measure, print, and write `json_path` if given.

    Args:
        json_path: where the numbers go as JSON.
        corl: a checkout of CORL, whose IQL, CQL and EDAC then take part; ratios refer to the same
            method there, of other methods to its IQL.
    """
    console = _console()
    console.print("Training speed: contenders take turns on one core (a few minutes) …")
    workers = [
        engine_worker("iql"),
        *(engine_worker("iql", precision=precision) for precision in ROUNDED),
        engine_worker("td3-bc"),
        engine_worker("df-div", 0, ", pretraining"),
        engine_worker("df-div", 1, ", improvement"),
        engine_worker("df-div", 1, ", improvement", "bf16"),
        engine_worker("df-dir", 1, ", improvement"),
        engine_worker("df-div-joint", 1, ", improvement"),
    ]
    bases: dict[str, str] = {}
    if corl is not None:
        theirs = {name: f"CORL {name}, 1 seed" for name in ("iql", "cql", "edac")}
        workers += [engine_worker("cql"), engine_worker("edac")]
        bases = {ours: theirs[args[1]] for ours, args in workers if args[1] in theirs}
        bases |= {name: name for name in theirs.values()}
        for script in theirs:
            script_of(corl, script)
        folder = str(corl.absolute())
        workers = [(name, ["corl", script, folder]) for script, name in theirs.items()] + workers
    rates = measure(workers, last_core(), bases, starting=_announce(console))
    console.print(rates_table(rates, f"{SEEDS} seeds, 2 x 256 (cql, edac: 3 x 256), batch 256"))
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
    console.print(_parts_table(parts, "Everything else"))
    if json_path is not None:
        write_json(json_path, {**_content(rates), "parts": parts})


def run_methods_bench(pattern: str, json_path: Path | None) -> None:
    """Measure every stage of the methods whose ids match, a few at a time beside a common one.

    A stage that fails is a line with the reason. `json_path` is rewritten after every group.
    Raises UserError for a pattern that no id matches.
    """
    ids = _matching(pattern)
    console = _console()
    failed: dict[str, str] = {}
    rates: list[Rate] = []
    parts = groups(ids, failed)
    for number, workers in enumerate(parts, 1):
        console.print(f"Group {number} of {len(parts)}")
        found = measure(workers, last_core(), {}, _announce(console), failed)
        known = {rate.name for rate in rates}  # the common one has been in other groups before
        rates += [rate for rate in found if rate.name not in known]
        if json_path is not None:
            write_json(json_path, {**_content(rates), "failed": failed})
    title = f"{SEEDS} seeds, 2 x 256, batch 256; sequence models: their own widths, 16 windows"
    console.print(rates_table(rates, title))
    for name, reason in failed.items():
        console.print(f"{name}: {reason}", markup=False)


def run_gpu_bench(json_path: Path | None, unifloral: Path | None = None) -> None:
    """Measure stacks of seeds on the GPU; updates a second of the wall.

    Args:
        json_path: where the numbers go as JSON.
        unifloral: a checkout of it, whose IQL then takes part, and beside it only ours.

    Raises UserError if there is none.
    """
    import torch

    if not torch.cuda.is_available():
        raise UserError("bench: torch sees no GPU here; `harness doctor` says what it sees.")
    card = torch.cuda.get_device_name()
    console = _console()
    console.print(f"Training speed on {card}: all compile, then take turns (a few minutes) …")
    workers, bases = gpu_workers() if unifloral is None else unifloral_workers(unifloral)
    failed: dict[str, str] = {}
    rates = measure(workers, "cuda", bases, _announce(console), failed)
    table = Table(
        "contender",
        "updates",
        "min - max",
        "compared",
        "peak GPU MB",
        title=f"Updates a second, all seeds together, on {card}: 2 x 256, batch 256, obs 17, "
        "act 6, 1M rows",
    )
    for rate in rates:
        table.add_row(*_start_of_row(rate), f"{rate.peak_memory_mb:.0f}")
    console.print(table)
    for name, reason in failed.items():
        console.print(f"{name}: {reason}", markup=False)
    if json_path is not None:
        write_json(json_path, {**_content(rates), "gpu": card, "failed": failed})


def run_scale_bench(json_path: Path | None) -> None:
    """Measure what a suite of thousands of runs takes before any of them starts."""
    console = _console()
    console.print("Planning and finding finished runs (a minute) …")
    parts = scale_parts()
    console.print(_parts_table(parts, "Thousands of runs"))
    if json_path is not None:
        write_json(json_path, {"parts": parts, **circumstances()})


def run_acting_bench(pattern: str, json_path: Path | None) -> None:
    """Measure how long every method whose id matches takes to act, one after the other.

    A method that fails is a line with the reason. `json_path` is rewritten after every method.
    Raises UserError for a pattern that no id matches.
    """
    console = _console()
    found: list[ActingTime] = []
    failed: dict[str, str] = {}
    for algorithm in _matching(pattern):
        console.print(f"  {algorithm} …", markup=False)
        try:
            found += _acting(algorithm)
        except UserError as error:
            failed[algorithm] = str(error)
        times = ActingTimes(
            acting=found,
            failed=failed,
            obs_dim=acting.OBS_DIM,
            action_dim=acting.ACTION_DIM,
            seeds=acting.SEEDS,
            episodes=acting.EPISODES,
            **circumstances(),
        )
        if json_path is not None:
            write_json(json_path, times.model_dump())
    console.print(acting_table(times))
    for name, reason in failed.items():
        console.print(f"{name}: {reason}", markup=False)


def _acting(algorithm: str) -> list[ActingTime]:
    answer = ask((algorithm, ["acting", algorithm]), last_core())
    return [ActingTime(**found) for found in answer["acting"]]


def acting_table(times: ActingTimes) -> Table:
    """Times of acting, as they stand in docs/acting.md too."""
    table = Table(*times.header(), title="Acting", caption=times.setting())
    for row in times.rows():
        table.add_row(*row)
    return table


def _matching(pattern: str) -> list[str]:
    ids = matching(pattern)
    if not ids:
        raise UserError(f"no method matches '{pattern}'; `harness list algorithms` shows them all.")
    return ids


def rates_table(rates: Sequence[Rate], shapes: str) -> Table:
    """Rates, what they are compared with, and how much of the time products alone would take."""
    table = Table(
        "contender",
        "updates",
        "min - max",
        "compared",
        "MFLOP",
        "bound",
        "share",
        "peak MB",
        title=f"Updates a CPU-second, all seeds together: {shapes}, obs 17, act 6, 1M rows",
        caption="MFLOP: of the matrix products of an update, a seed; bound: updates a CPU-second "
        "if there were nothing else, at this core's rate for the most of them; share: of the bound",
    )
    for rate in rates:
        row = _start_of_row(rate)
        if rate.flop is None or rate.bound is None or rate.share is None:
            row += ["", "", ""]
        else:
            row += [f"{rate.flop / 1e6:.0f}", f"{rate.bound:.3g}", f"{rate.share:.0%}"]
        table.add_row(*row, f"{rate.peak_memory_mb:.0f}")
    return table


def _start_of_row(rate: Rate) -> list[str]:
    ratio = "" if rate.ratio is None else f"{rate.ratio:.2f} x {rate.base}"
    return [rate.name, f"{rate.median:.3g}", f"{rate.low:.3g} - {rate.high:.3g}", ratio]


def _parts_table(parts: Mapping[str, float], title: str) -> Table:
    table = Table("measure", "median", title=title)
    for name, value in parts.items():
        table.add_row(name, f"{value:.3g}")
    return table


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 120)  # a pipe has no width to wrap to


def _announce(console: Console) -> Callable[[str], None]:
    return lambda name: console.print(f"  compiling and warming up {name} …", markup=False)


def _content(rates: Sequence[Rate]) -> Mapping[str, Any]:
    return {
        "training": [asdict(rate) for rate in rates],
        **circumstances(),
    }
