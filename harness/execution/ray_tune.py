"""Ray Tune as an executor: on this machine by default, or on the cluster at an address.

Tune schedules trials and restarts those whose node or process died. It keeps no results: its own
folder is deleted at the end, and a restarted trial continues from our checkpoints.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# Ray reads these when it is imported.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # the new one prints boxes even when told to be silent
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
# Else `ray.init` waits for workers started beforehand: for ever, and deaf to Ctrl-C, if one of them
# dies (ray-project/ray issue 40131).
os.environ["RAY_prestart_worker_first_driver"] = "0"  # noqa: SIM112
# Else Tune's thread, when Ray is shut down under it, starts another, which nobody shuts down and
# whose end ends this process.
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"
os.environ["TUNE_DISABLE_AUTO_INIT"] = "1"

import ray
from ray import tune

from harness.errors import UserError, lacks_memory
from harness.execution.executor import RESTARTS, worker_environment
from harness.execution.machine import NO_GPU, gpu_problem, local_gpus
from harness.execution.work import work
from harness.runs.provenance import core_count
from harness.runs.trial import Trial
from harness.suite.schema import Resources

_JOINING_SECONDS = 5
_LOOK_SECONDS = 5  # between looks whether Ray's process on this machine is alive


class TuneTrial(tune.Trainable):
    """A trial as Tune sees it: one step is one evaluation."""

    _steps: Iterator[int]

    def setup(self, config: dict[str, Any]) -> None:
        self._steps = work(Trial.model_validate_json(config["trial"]))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        step = next(self._steps, None)
        return {"gradient_steps": step, "done": step is None}


class _Mourner(tune.Callback):
    """Marks the runs of a trial that Tune gives up as failed, at once, as others go on for long."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        self._trials = {trial.name: trial for trial in trials}

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        words = last_words(str(trial.get_error() or ""))
        said = f"; Ray says: {words}" if words else ""
        ours = self._trials[trial.config["name"]]
        ours.fail_unfinished(f"its Ray worker died {RESTARTS + 1} times{said}")


class RayExecutor:
    """Runs trials with `tune.Tuner`, whose blocking `fit` has a thread of its own."""

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._trials: list[Trial] = []
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._node = ""
        self._looked = 0.0

    def lacking(self, resources: Resources) -> list[str]:
        if self._address is None:
            if resources.gpus_per_trial and (problem := gpu_problem()):
                return [problem]
            gpus = len(local_gpus()) if resources.gpus_per_trial else 0
            problem = _no_room([{"CPU": core_count(), "GPU": gpus}], resources)
        else:
            try:
                self._connect()
            except UserError as error:
                return [str(error)]
            problem = _no_room_on_any_node(resources, wait=_JOINING_SECONDS)
            ray.shutdown()
            if problem:
                problem += " If nodes are still to join, wait until `ray status` lists them."
        return [problem] if problem else []

    def start(self, trials: Sequence[Trial], resources: Resources) -> None:
        self._trials = list(trials)
        self._connect()
        if problem := _no_room_on_any_node(resources, wait=0):
            ray.shutdown()
            raise UserError(problem)
        self._node = ray.get_runtime_context().get_node_id()
        logging.getLogger("ray").setLevel(logging.CRITICAL)  # failures are in our own files
        per_trial = {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial}
        self._thread = threading.Thread(
            target=self._fit, args=[per_trial], name="tune", daemon=True
        )
        self._thread.start()

    def working(self) -> bool:
        assert self._thread is not None
        ending = "its Ray worker died"
        if self._thread.is_alive():
            if self._is_connected():
                return True
            ending = "Ray (its raylet) died on this machine: run the suite again to continue"
        elif self._error:
            ending += f": {last_words(str(self._error))}"
        ray.shutdown()  # first, since workers live on until their raylet is buried
        for trial in self._trials:
            trial.fail_unfinished(ending)
        return False

    def _is_connected(self) -> bool:
        """Whether the node that this process is on lives; without it Tune waits for ever."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return True
        self._looked = time.monotonic()
        try:
            nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        except ray.exceptions.RaySystemError:  # it ends this process if that lasts
            return True
        return any(node["NodeID"] == self._node and node["Alive"] for node in nodes)

    def kill(self) -> None:
        ray.shutdown()
        self._delete_storage()

    def _connect(self) -> None:
        heeded = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(
                address=self._address or "local",
                num_cpus=None if self._address else core_count(),
                include_dashboard=None if self._address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": worker_environment()},
            )
        except Exception as error:  # a start that takes too long is nothing more specific
            if lacks_memory(error):
                raise
            what = f"reach the Ray cluster at {self._address}" if self._address else "start Ray"
            raise UserError(
                f"Cannot {what}: {str(error).rstrip('.')}. Or run without Ray: --executor local."
            ) from error
        finally:
            signal.signal(signal.SIGTERM, heeded)  # Ray's own ends the process, and saves nothing

    def _fit(self, per_trial: dict[str, float]) -> None:
        tuner = tune.Tuner(
            tune.with_resources(TuneTrial, per_trial),
            param_space=tune.grid_search(
                [{"trial": trial.model_dump_json(), "name": trial.name} for trial in self._trials]
            ),
            tune_config=tune.TuneConfig(
                reuse_actors=True, trial_dirname_creator=lambda trial: str(trial.config["name"])
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(self._storage),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                failure_config=tune.FailureConfig(max_failures=RESTARTS),
                verbose=0,
                callbacks=[_Mourner(self._trials)],
            ),
        )
        try:
            tuner.fit()
        except (Exception, SystemExit) as error:  # the latter when Ray is shut down meanwhile
            self._error = error
        finally:
            self._delete_storage()

    @property
    def _storage(self) -> Path:
        """Next to the results, because all nodes must see it; nothing in it is kept."""
        return self._trials[0].suite_dir / ".tune"

    def _delete_storage(self) -> None:
        shutil.rmtree(self._storage, ignore_errors=True)


def last_words(trace: str) -> str:
    """The last line of a traceback that is not indented, as the rest of a long message is."""
    return next((line for line in reversed(trace.splitlines()) if line[:1].strip()), "")


def _no_room_on_any_node(resources: Resources, wait: float) -> str:
    """Why no node can ever hold a trial, for which Tune would wait without a word; else empty.

    Nodes that are just joining get `wait` seconds.
    """
    deadline = time.monotonic() + wait
    while True:
        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        problem = _no_room([node["Resources"] for node in nodes if node["Alive"]], resources)
        if not problem or time.monotonic() >= deadline:
            return problem
        time.sleep(0.5)


def _no_room(nodes: Sequence[Mapping[str, float]], resources: Resources) -> str:
    """Why none of these nodes holds a trial, by what Ray says they have; empty if one does."""
    with_gpus = [node for node in nodes if node.get("GPU", 0) >= resources.gpus_per_trial]
    if not with_gpus:
        return NO_GPU
    cpus = max(node.get("CPU", 0) for node in with_gpus)
    if cpus >= resources.cpus_per_trial:
        return ""
    return (
        f"A trial of this suite asks for {resources.cpus_per_trial} CPUs "
        f"(resources.cpus_per_trial), and no node here has more than {cpus:.0f}. Lower it in the "
        "suite: it changes no number."
    )
