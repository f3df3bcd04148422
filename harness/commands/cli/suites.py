"""Commands on suites and their results: run, plan, report, pack, compare."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.commands.cli.options import (
    CpuOption,
    JsonOption,
    OnlyOption,
    ResultsOption,
    SeedsOption,
    SuiteArgument,
)
from harness.commands.console import console_for_tables
from harness.errors import UserError


class ExecutorName(StrEnum):
    """Where trials run."""

    ray = "ray"
    local = "local"


class TrackerName(StrEnum):
    """Experiment trackers, each an extra of the installation."""

    wandb = "wandb"
    mlflow = "mlflow"
    aim = "aim"


ExecutorOption = Annotated[
    ExecutorName, typer.Option(help="Ray Tune, or processes on this machine.")
]
AddressOption = Annotated[
    str | None, typer.Option(help="A Ray cluster to use instead of this machine.")
]
SmokeOption = Annotated[
    bool, typer.Option("--smoke", help="Shrink everything to seconds, into results of its own.")
]
FreshOption = Annotated[
    bool, typer.Option("--fresh", help="Delete the selected runs first and start over.")
]
KeepOption = Annotated[
    bool,
    typer.Option(
        "--keep", help="Keep runs that a method's earlier code finished, marked in tables."
    ),
]
LogOption = Annotated[
    list[TrackerName] | None,
    typer.Option(help="Log to a tracker too, beside TensorBoard's files in runs' folders."),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Say what would run and why, and write nothing.")
]


def run(
    suite: SuiteArgument,
    executor: ExecutorOption = ExecutorName.ray,
    address: AddressOption = None,
    only: OnlyOption = None,
    seeds: SeedsOption = None,
    smoke: SmokeOption = False,
    cpu: CpuOption = False,
    fresh: FreshOption = False,
    keep: KeepOption = False,
    log: LogOption = None,
    dry_run: DryRunOption = False,
    results: ResultsOption = Path("results"),
) -> None:
    """Train and evaluate a suite's runs, skipping finished ones, and report."""
    from harness.commands.dry_run import show_dry_run
    from harness.commands.run import run_suite
    from harness.execution.draft import RunOptions

    options = RunOptions(only=only or (), seeds=seeds, smoke=smoke, cpu=cpu, fresh=fresh, keep=keep)
    if dry_run:
        show_dry_run(
            suite,
            options,
            executor=executor.value,
            address=address,
            results=results,
            console=console_for_tables(),
        )
        return
    code = run_suite(
        suite,
        options,
        executor=executor.value,
        address=address,
        log=[tracker.value for tracker in log or []],
        results=results,
        command=shlex.join(["python", "-m", "harness", *sys.argv[1:]]),
        console=Console(),
    )
    raise typer.Exit(code)


DeadlineOption = Annotated[
    str | None, typer.Option(metavar="30m|8h|2d", help="A deadline: what does it take?")
]
RatesOption = Annotated[
    Path | None,
    typer.Option(
        help="A CSV table of rates, instead of those measured here. Columns: algorithm, "
        "steps_per_second; as wanted task, evaluation_seconds, memory_mb, checkpoint_mb."
    ),
]
MeasureOption = Annotated[
    bool, typer.Option("--measure", help="Measure rates that are not known yet, and keep them.")
]
PriceOption = Annotated[
    float | None, typer.Option(min=0, help="What an hour of this machine costs.")
]


def plan(
    suite: SuiteArgument,
    by: DeadlineOption = None,
    rates: RatesOption = None,
    measure: MeasureOption = False,
    price_per_hour: PriceOption = None,
    only: OnlyOption = None,
    seeds: SeedsOption = None,
    cpu: CpuOption = False,
    json: JsonOption = False,
    results: ResultsOption = Path("results"),
) -> None:
    """Say what a suite takes: runs, steps, hours, memory, disk, cost. Makes nothing."""
    from harness.commands.plan import show_plan
    from harness.execution.draft import RunOptions

    if rates is not None and measure:
        raise UserError("--rates is instead of what is measured here: leave --measure out.")
    show_plan(
        suite,
        RunOptions(only=only or (), seeds=seeds, cpu=cpu),
        results=results,
        by=by,
        rates=rates,
        measuring=measure,
        price=price_per_hour,
        as_json=json,
        console=console_for_tables(120),
    )


def report(
    suite: Annotated[
        str | None, typer.Argument(metavar="SUITE", help="A suite's name or file.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Of every suite with results, and an index over them.")
    ] = False,
    protocol: Annotated[
        str | None,
        typer.Option(
            help="Score runs by last, mean-of-last-K, best (online selection) or "
            "expected-best-of-N instead of as the suite says.",
        ),
    ] = None,
    results: ResultsOption = Path("results"),
) -> None:
    """Rebuild a suite's tables, plots and page from its results, beside what others published."""
    from harness.commands.report import report_suite, show_all_reports

    if (suite is None) != every:
        raise UserError("Give the name of a suite, or --all for every suite that has results.")
    if suite is None:
        made = show_all_reports(results, Console(), protocol)
    else:
        made = report_suite(suite, results, Console(), protocol)
    if not made:
        raise typer.Exit(1)


def pack(suite: SuiteArgument, results: ResultsOption = Path("results")) -> None:
    """Make a suite's finished runs small enough to share: one archive a task, no checkpoints."""
    from harness.commands.report import results_of
    from harness.execution.execute import sole_use
    from harness.runs.pack import pack_suite

    directory = results_of(suite, results)
    with sole_use(directory, print):
        print(pack_suite(directory))


def compare(
    first: Annotated[
        str, typer.Argument(metavar="A", help="Results: a folder, a commit, or commit:folder.")
    ],
    second: Annotated[
        str, typer.Argument(metavar="B", help="The same; a commit means A's folder.")
    ],
    results: ResultsOption = Path("results"),
) -> None:
    """Compare two results of a suite: cells, differences by seed, and what changed in specs."""
    from harness.commands.compare import compare_results

    compare_results(first, second, results, console_for_tables())
