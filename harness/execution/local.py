"""Worker processes on this machine, as many as there are cores. No Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError
from harness.execution.executor import RESTARTS, worker_environment
from harness.execution.machine import gpu_problem, local_gpus
from harness.runs.provenance import core_count
from harness.runs.trial import Trial
from harness.suite.schema import Resources


@dataclass
class _Worker:
    """A process that works on the trials it is sent, one after another."""

    process: subprocess.Popen[str]
    log: Path
    trial: Trial | None = None

    def send(self, trial: Trial) -> None:
        assert self.process.stdin is not None
        self.trial = trial
        with suppress(BrokenPipeError):  # it died just now; `working` will notice
            self.process.stdin.write(trial.model_dump_json() + "\n")
            self.process.stdin.flush()

    def dismiss(self) -> None:
        """Tell it that there is nothing more to do; it ends after its trial."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()


class LocalExecutor:
    """Hands trials to worker processes; the trial of one that dies goes on in another."""

    def __init__(self) -> None:
        self._gpus_per_trial = 0.0
        self._deaths: Counter[str] = Counter()  # of workers, by the trial that they were at
        self._spawned = 0
        self._waiting: list[Trial] = []
        self._workers: dict[int, _Worker | None] = {}  # by slot

    def lacking(self, resources: Resources) -> list[str]:
        problem = gpu_problem() if resources.gpus_per_trial else ""
        return [problem] if problem else []

    def start(self, trials: Sequence[Trial], resources: Resources) -> None:
        slots = max(1, core_count() // resources.cpus_per_trial)
        self._gpus_per_trial = resources.gpus_per_trial
        if absent := self.lacking(resources):
            raise UserError(" ".join(absent))
        if self._gpus_per_trial:
            slots = min(slots, int(local_gpus() / self._gpus_per_trial))
        self._waiting = list(trials)
        self._workers = dict.fromkeys(range(slots))

    def working(self) -> bool:
        for slot, worker in self._workers.items():
            if worker is not None:
                self._look_at(slot, worker)
            self._assign(slot)
        return any(self._workers.values())

    def kill(self) -> None:
        self._waiting.clear()
        workers = [worker for worker in self._workers.values() if worker is not None]
        for worker in workers:
            with suppress(ProcessLookupError):
                os.killpg(worker.process.pid, signal.SIGKILL)
        for worker in workers:
            worker.process.wait()

    def _look_at(self, slot: int, worker: _Worker) -> None:
        code = worker.process.poll()
        if code is not None:
            if worker.trial is not None:
                self._take_back(worker.trial, _how_it_ended(code, worker.log))
            self._workers[slot] = None
        elif worker.trial is not None and worker.trial.is_over():
            worker.trial = None

    def _take_back(self, trial: Trial, ending: str) -> None:
        """Let another worker go on with a trial whose worker died, unless too many have."""
        if trial.is_over():
            return
        self._deaths[trial.name] += 1
        if self._deaths[trial.name] > RESTARTS or trial.stop_requested():
            trial.fail_unfinished(ending)
        else:
            self._waiting.insert(0, trial)

    def _assign(self, slot: int) -> None:
        """Give the slot's worker its next trial, or nothing more to do."""
        worker = self._workers[slot]
        if worker is not None and worker.trial is not None:
            return
        if self._waiting and not self._waiting[0].stop_requested():
            trial = self._waiting.pop(0)
            worker = worker or self._spawn(slot, trial.suite_dir / "logs")
            worker.send(trial)
            self._workers[slot] = worker
        elif worker is not None:
            worker.dismiss()

    def _spawn(self, slot: int, logs: Path) -> _Worker:
        environment = {**os.environ, **worker_environment()}
        if self._gpus_per_trial:
            environment["CUDA_VISIBLE_DEVICES"] = str(int(slot * self._gpus_per_trial))
        logs.mkdir(parents=True, exist_ok=True)
        path = logs / f"worker-{self._spawned}.log"
        self._spawned += 1
        with path.open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "harness.execution.worker", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                text=True,
                start_new_session=True,  # the terminal's Ctrl-C is for the parent alone
            )
        return _Worker(process, path)


def _how_it_ended(code: int, log: Path) -> str:
    """A sentence on a worker that left without a result, and the last lines it printed."""
    ending = f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.Signals(-code).name})"
    hint = " (out of memory?)" if code == -signal.SIGKILL else ""
    printed = log.read_text(errors="replace").splitlines()[-20:]
    return "\n".join([f"its process ended with {ending}{hint}", *printed])
