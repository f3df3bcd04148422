"""Ways to run trials: `local` (processes on this machine) and `ray` (Ray Tune, any cluster)."""

from __future__ import annotations

from algorithms.errors import causes
from harness.errors import UserError, lacks_memory
from harness.execution.executor import Executor, MemoryOf
from harness.execution.ray_cluster import prepare_to_join, prepare_to_start
from harness.suite.schema import Resources

EXECUTORS = ("local", "ray")


def refuse_executor(name: str, address: str | None) -> None:
    """Raises UserError if there is no such executor, or an address is not for it."""
    if name not in EXECUTORS:
        raise UserError(f"There is no executor '{name}': it is {' or '.join(EXECUTORS)}.")
    if address is not None and name != "ray":
        raise UserError("An address is of a Ray cluster: it needs the executor ray.")


def make_executor(name: str, address: str | None, memory_of: MemoryOf = lambda _: 0.0) -> Executor:
    """The executor called `local` or `ray`; `memory_of` is for the former.

    Raises UserError if Ray is needed and absent.
    """
    if name == "local":
        from harness.execution.local import LocalExecutor

        return LocalExecutor(memory_of)
    if address is None:
        prepare_to_start()
    else:
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
