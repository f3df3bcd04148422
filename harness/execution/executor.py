"""Ways to run trials: `local` (processes on this machine) and `ray` (Ray Tune, any cluster)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from typing import Protocol

from algorithms.errors import causes
from harness.errors import UserError, lacks_memory
from harness.execution.machine import COMPILED, compiled_code
from harness.execution.ray_cluster import prepare_to_join
from harness.runs.trial import Trial
from harness.suite.schema import Resources

RESTARTS = 3  # of a trial, after the death of a process or node; its own errors end it at once
MemoryOf = Callable[[Trial], float]
"""What a trial is expected to take, in MB; 0: nobody knows."""


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


def make_executor(name: str, address: str | None, memory_of: MemoryOf = lambda _: 0.0) -> Executor:
    """The executor called `local` or `ray`; `memory_of` is for the former.

    Raises UserError if Ray is needed and absent.
    """
    if name == "local":
        from harness.execution.local import LocalExecutor

        return LocalExecutor(memory_of)
    if address is not None:
        address = prepare_to_join(address)
    try:
        from harness.execution.ray_tune import RayExecutor
    except ImportError as error:  # Ray replaces some errors by its own
        absent = [cause.name for cause in causes(error) if isinstance(cause, ModuleNotFoundError)]
        if lacks_memory(error) or not {"ray", "pyarrow", "tensorboardX"}.intersection(absent):
            raise
        raise UserError(
            "Ray is not installed. Install it with `pip install 'ray[tune]'`, or run on this "
            "machine alone, without it: --executor local."
        ) from error
    return RayExecutor(address)


def lacking(name: str, address: str | None, resources: Resources) -> list[str]:
    """What the executor called `name` needs for a suite and has not, a sentence each."""
    try:
        return make_executor(name, address).lacking(resources)
    except UserError as error:
        return [str(error)]


def ending_of(code: int) -> str:
    """How a process ended, by its return code."""
    ending = f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.Signals(-code).name})"
    return ending + (" (out of memory?)" if code == -signal.SIGKILL else "")


def worker_environment() -> dict[str, str]:
    """Environment variables every worker needs: one thread, and folders where they are here."""
    from harness.data import data_root, rows_root

    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return {
        "HARNESS_DATA": str(data_root()),
        "HARNESS_CACHE": str(rows_root()),
        **({COMPILED: str(compiled_code().absolute())} if COMPILED in os.environ else {}),
        **dict.fromkeys(threads, "1"),
    }
