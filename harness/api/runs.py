"""Running a suite from a program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console

from harness.api.frames import Results, results
from harness.commands.run import STOPPED, run_suite
from harness.execution.draft import RunOptions, draft
from harness.suite.schema import find_suite

Tracker = Literal["wandb", "mlflow", "aim"]


def run(
    suite: str | Path,
    *,
    executor: Literal["local", "ray"] = "local",
    address: str | None = None,
    only: str | Sequence[str] = (),
    seeds: int | None = None,
    smoke: bool = False,
    cpu: bool = False,
    fresh: bool = False,
    keep: bool = False,
    log: Tracker | Sequence[Tracker] = (),
    folder: str | Path = "results",
    quiet: bool = False,
) -> Results:
    """Do what `harness run` does, report included, and return the suite's results.

    Runs that fail do not raise: their `state` in `runs` says so. A notebook's interrupt saves all
    runs, which go on when this is called again.

    Args:
        suite: its name or file.
        executor: processes on this machine, or Ray Tune.
        address: a Ray cluster to use instead of this machine.
        only: a pattern of cells, or several, as `task/algorithm`, algorithm (all rows of its sweep,
            or one) or task; none: all.
        seeds: this many instead of the suite's.
        smoke: shrink everything to seconds, into results of its own.
        cpu: train without the GPU that the suite asks for, into results of its own.
        fresh: delete the selected runs first.
        keep: keep runs that a method's earlier code finished.
        log: a tracker, or several, that are given the numbers too, beside TensorBoard.
        folder: of all suites' results.
        quiet: print nothing.

    Raises:
        UserError: anything wrong before the first run starts, with what to do.
        KeyboardInterrupt: it was stopped.
    """
    options = RunOptions(
        only=[only] if isinstance(only, str) else only,
        seeds=seeds,
        smoke=smoke,
        cpu=cpu,
        fresh=fresh,
        keep=keep,
    )
    code = run_suite(
        str(suite),
        options,
        executor=executor,
        address=address,
        log=[log] if isinstance(log, str) else log,
        results=Path(folder),
        command=f"harness.run({str(suite)!r})",
        console=Console(quiet=quiet),
    )
    if code == STOPPED:
        raise KeyboardInterrupt
    whole = RunOptions(smoke=smoke, cpu=cpu)
    return results(draft(find_suite(str(suite)), Path(folder), whole).directory)
