"""One trial's work: set up, train to the next evaluation, evaluate, save; again from where it was.

Knows nothing of Ray or of processes: an executor iterates over `work(trial)`.
"""

from __future__ import annotations

import errno
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from algorithms import registry
from harness.errors import UserError
from harness.results import State, Status, now
from harness.run_tables import RunTables
from harness.trial import Trial

if TYPE_CHECKING:
    from algorithms.engine import Engine
    from harness.evaluate import Evaluator

_CHUNK_SECONDS = 1.0  # a stop request is noticed between chunks
_FIRST_CHUNK = 32  # gradient steps, before the speed is known
_CHECKPOINT_SECONDS = 60.0  # the most that a killed run loses


def work(trial: Trial, stop: Callable[[], bool] | None = None) -> Iterator[int]:
    """Do all that is left of a trial's runs, yielding the step after each evaluation.

    Everything a run leaves is in its files, also its failure: no error is raised for it.
    Once `stop()` is true the runs are saved and marked as interrupted.
    """
    stop = stop or trial.stop_requested
    for part in trial.parts():
        if stop():
            return
        run = Run(part, stop)
        try:
            run.start()
            yield from run.evaluations()
        except Exception as error:
            run.fail(error)
        finally:
            run.close()


class Run:
    """The runs of all seeds of a trial, which stand at the same step and advance together."""

    engine: Engine
    evaluator: Evaluator | None = None

    def __init__(self, trial: Trial, stop: Callable[[], bool]) -> None:
        self.trial = trial
        self.spec = trial.specs[0]
        self.seeds = [spec.seed for spec in trial.specs]
        self.folders = [trial.folder(spec) for spec in trial.specs]
        self.tables = [
            RunTables(folder, self.spec.task, seed)
            for folder, seed in zip(self.folders, self.seeds, strict=True)
        ]
        self.step = self.folders[0].checkpoint_step()
        self.seconds = {"train_seconds": 0.0, "evaluation_seconds": 0.0, "wall_seconds": 0.0}
        self._steps_per_second = 0.0
        self._chunk = _FIRST_CHUNK
        self._stop = stop
        self._started = now()
        self._clock = self._saved = time.perf_counter()
        self._reported_training = 0.0  # train_seconds at the latest evaluation

    # --- set-up -----------------------------------------------------------------------------

    def start(self) -> None:
        """Open the data, build engine and evaluator, and continue from the checkpoint if any."""
        for folder, spec in zip(self.folders, self.trial.specs, strict=True):
            folder.write_spec(spec)
        self._write_status("running")
        import torch

        from algorithms.engine import Engine
        from harness.data import ensure
        from harness.evaluate import Evaluator

        # One thread, whatever the executor grants: sums must not depend on the thread count.
        torch.set_num_threads(1)
        data = ensure(self.spec.task)
        if data.sha256 != self.spec.dataset_sha256:
            raise UserError(
                f"the data of {self.spec.task.id} changed after the run was planned: sha256 "
                f"{data.sha256}, expected {self.spec.dataset_sha256}. Run the suite again."
            )
        config_class = registry.load(self.spec.algorithm).Config
        self.engine = Engine(
            self.spec.algorithm,
            config_class.model_validate_json(json.dumps(self.spec.config)),
            data.transitions,
            self.seeds,
            total_steps=self.spec.steps,
            precision=self.spec.precision,
            device=self.spec.device,
            compile=self.spec.compiled,
        )
        self.evaluator = Evaluator(self.spec.task, self.seeds, self.spec.evaluation.episodes)
        self._load()
        self._write_provenance(data.sha256, data.manifest)

    def _load(self) -> None:
        if self.step == 0:
            return
        self.engine.load_state([folder.read_checkpoint() for folder in self.folders], self.step)
        for tables in self.tables:
            tables.load(until=self.step)
        self.seconds |= self.folders[0].read_seconds()
        self._clock -= self.seconds["wall_seconds"]
        self._reported_training = self.seconds["train_seconds"]

    def _write_provenance(self, sha256: str, manifest: Mapping[str, Any]) -> None:
        from harness.provenance import provenance

        content = provenance(
            command=self.trial.command,
            executor=self.trial.executor,
            seeds=self.seeds,
            compiled=self.engine.compiled,
            dataset={"id": self.spec.task.dataset.id, "sha256": sha256, "manifest": manifest},
        )
        for folder in self.folders:
            folder.write_provenance(content)

    # --- the work ---------------------------------------------------------------------------

    def evaluations(self) -> Iterator[int]:
        """Train and evaluate up to the end of the budget, yielding after each evaluation."""
        for step in self.spec.evaluation_steps():
            if step <= self.tables[0].evaluated_step:
                continue
            if not self.train_until(step):
                self.save()
                self._write_status("interrupted")
                return
            self.evaluate()
            yield step
        self._write_status("done")

    def train_until(self, step: int) -> bool:
        """Take gradient steps up to `step`; False if a stop was asked for before it."""
        while self.step < step:
            if self._stop():
                return False
            self._train_chunk(min(self._chunk, step - self.step))
            if time.perf_counter() - self._saved > _CHECKPOINT_SECONDS:
                self.save()
            self._write_status("running")
        return True

    def _train_chunk(self, steps: int) -> None:
        start = time.perf_counter()
        self.engine.train(steps)
        self.engine.metrics()  # waits for the device
        seconds = time.perf_counter() - start
        self.step = self.engine.step
        self.seconds["train_seconds"] += seconds
        self._steps_per_second = steps / seconds
        self._chunk = max(1, round(self._steps_per_second * _CHUNK_SECONDS))

    def evaluate(self) -> None:
        """Evaluate the policies of all seeds, write the tables, and save."""
        assert self.evaluator is not None
        evaluation = self.evaluator.evaluate(self.engine.policy(f"evaluation/{self.step}"))
        self.seconds["evaluation_seconds"] += evaluation.seconds
        training = self.seconds["train_seconds"] - self._reported_training
        self._reported_training = self.seconds["train_seconds"]
        metrics = self.engine.metrics()
        for i, (seed, tables) in enumerate(zip(self.seeds, self.tables, strict=True)):
            tables.add(
                self.step,
                [episode for episode in evaluation.episodes if episode.seed == seed],
                {name: float(values[i]) for name, values in metrics.items()},
                (training, evaluation.seconds, evaluation.action_latency_ms),
            )
            tables.write()
        self.save()
        self._write_status("running")

    # --- what is left behind ----------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint for every seed."""
        self._count_wall_seconds()
        for slot, folder in enumerate(self.folders):
            folder.write_checkpoint(self.engine.state(slot), self.step, self.seconds)
        self._saved = time.perf_counter()

    def fail(self, error: Exception) -> None:
        """Record `error` as the end of every run; what was saved before stays."""
        trace = "".join(traceback.format_exception(error))
        print(trace, file=sys.stderr, flush=True)
        self._write_status("failed", describe(error, trace))

    def close(self) -> None:
        """Release the environments, and the compiled code that a next trial cannot use."""
        if self.evaluator is not None:
            self.evaluator.close()
        if self.spec.compiled:
            import torch

            torch.compiler.reset()

    def _write_status(self, state: State, error: str = "") -> None:
        self._count_wall_seconds()
        status = Status(
            state=state,
            step=self.step,
            total_steps=self.spec.steps,
            invocation=self.trial.invocation,
            started=self._started,
            error=error,
            finished="" if state == "running" else now(),
            train_seconds=self.seconds["train_seconds"],
            evaluation_seconds=self.seconds["evaluation_seconds"],
            wall_seconds=self.seconds["wall_seconds"],
            steps_per_second=self._steps_per_second,
        )
        for folder, tables in zip(self.folders, self.tables, strict=True):
            folder.write_status(
                replace(
                    status,
                    evaluated_step=tables.evaluated_step,
                    latest_score=tables.latest_score,
                )
            )

    def _count_wall_seconds(self) -> None:
        self.seconds["wall_seconds"] = time.perf_counter() - self._clock


def describe(error: Exception, trace: str) -> str:
    """What `status.json` says of a failure: a sentence first, then the traceback if it helps."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return (
            f"the disk is full ({error}). What was saved before is intact: free some space, then "
            "run the suite again to continue."
        )
    return f"{type(error).__name__}: {error}\n\n{trace}"
