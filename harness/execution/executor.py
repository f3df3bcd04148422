"""What an executor is, and what all of them share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from harness.execution.machine import COMPILED, compiled_code
from harness.runs.trial import Trial
from harness.suite.schema import Resources

RESTARTS = 3  # of a trial, after the death of a process or node; its own errors end it at once
MemoryOf = Callable[[Trial], float]
"""What a trial is expected to take, in MB; 0: nobody knows."""

_HINTS: dict[int, str] = {
    signal.SIGKILL: " (out of memory?)",
    signal.SIGVTALRM: " (an environment hangs, in a loop that is not Python's)",
}


class Executor(Protocol):
    """Runs trials until each of their runs has a final status, or a stop was requested.

    A stop is requested of the workers through a file in the suite's folder, not of the executor.
    """

    def lacking(self, resources: Resources) -> list[str]:
        """What trials with these resources need and is not there, a sentence each.

        Starts nothing on this machine.
        """

    def start(self, trials: Sequence[Trial], resources: Resources) -> None:
        """Begin; returns at once. Raises UserError if there is nothing to run on."""

    def working(self) -> bool:
        """Whether anything still runs; also records the runs of workers that died as failed."""

    def kill(self) -> None:
        """End all workers now and wait until they are gone."""


def ending_of(code: int) -> str:
    """How a process ended, by its return code."""
    ending = f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.Signals(-code).name})"
    return ending + _HINTS.get(-code, "")


def worker_environment() -> dict[str, str]:
    """Environment variables every worker needs: one thread, and folders where they are here."""
    from harness.data import data_root, rows_root

    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    brought = ("HARNESS_D4RL_DATA", "HARNESS_LOCAL_DATA", "HARNESS_POLICIES")
    given = {name: Path(os.environ[name]) for name in brought if os.environ.get(name)}
    return {
        **{name: str(folder.expanduser().absolute()) for name, folder in given.items()},
        "HARNESS_DATA": str(data_root()),
        "HARNESS_CACHE": str(rows_root()),
        **({COMPILED: str(compiled_code().absolute())} if COMPILED in os.environ else {}),
        **dict.fromkeys(threads, "1"),
    }
