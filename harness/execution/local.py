"""Worker processes on this machine, as many as there are cores and memory for. No Ray."""

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
from harness.execution.executor import RESTARTS, MemoryOf, ending_of, worker_environment
from harness.execution.machine import VISIBLE, gpu_problem, gpu_slots
from harness.execution.memory import available_mb, resident_mb
from harness.runs.provenance import core_count
from harness.runs.trial import Trial
from harness.suite.schema import Resources

_MOST_TRIALS = 50  # of a worker: each leaves some 4 MB behind, as compiled code stays in a process


@dataclass
class _Worker:
    """A process that works on the trials it is sent, one after another."""

    process: subprocess.Popen[str]
    log: Path
    trial: Trial | None = None
    sent: int = 0  # trials

    def send(self, trial: Trial) -> None:
        assert self.process.stdin is not None
        self.trial = trial
        self.sent += 1
        with suppress(BrokenPipeError):  # it died just now; `working` will notice
            self.process.stdin.write(trial.model_dump_json() + "\n")
            self.process.stdin.flush()

    @property
    def is_dismissed(self) -> bool:
        """Whether it was told to end, and may be at that."""
        assert self.process.stdin is not None
        return self.process.stdin.closed

    def dismiss(self) -> None:
        """Tell it that there is nothing more to do; it ends after its trial."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()


class LocalExecutor:
    """Hands trials to worker processes; the trial of one that dies goes on in another.

    Trials start in the order given, but for those that do not fit into the memory that is free:
    others that do go before them. One trial runs whatever it takes.

    Args:
        memory_of: what trials are expected to take, until one of their cell has been measured.
    """

    def __init__(self, memory_of: MemoryOf = lambda _: 0.0) -> None:
        self._memory_of = memory_of
        self._peaks: dict[tuple[str, str], float] = {}  # MB, by task and label
        self._gpus: list[str] = []  # by slot, if trials have one
        self._deaths: Counter[str] = Counter()  # of workers, by the trial that they were at
        self._spawned = 0
        self._waiting: list[Trial] = []
        self._workers: dict[int, _Worker | None] = {}  # by slot

    def lacking(self, resources: Resources) -> list[str]:
        problem = gpu_problem() if resources.gpus_per_trial else ""
        return [problem] if problem else []

    def start(self, trials: Sequence[Trial], resources: Resources) -> None:
        slots = max(1, core_count() // resources.cpus_per_trial)
        if absent := self.lacking(resources):
            raise UserError(" ".join(absent))
        if resources.gpus_per_trial:
            self._gpus = gpu_slots(resources.gpus_per_trial)
            slots = min(slots, len(self._gpus))
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
            self._remember_peak(worker.trial)
            worker.trial = None
        elif worker.trial is not None and worker.trial.stop_requested():
            worker.dismiss()  # what it had not begun gets no status that would tell its end

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
        if worker is not None and (worker.trial is not None or worker.is_dismissed):
            return
        trial = self._next(slot)
        if worker is not None and (trial is None or worker.sent >= _MOST_TRIALS):
            worker.dismiss()
        elif trial is not None:
            self._waiting.remove(trial)
            worker = worker or self._spawn(slot, trial.suite_dir / "logs")
            worker.send(trial)
            self._workers[slot] = worker

    def _next(self, slot: int) -> Trial | None:
        """The first waiting trial that fits into memory beside those at work."""
        if not self._waiting or self._waiting[0].stop_requested():
            return None
        others = [
            worker
            for other, worker in self._workers.items()
            if worker is not None and other != slot and worker.trial is not None
        ]
        free = available_mb()
        if not others or free is None:
            return self._waiting[0]
        idle = self._workers[slot]
        held = resident_mb(idle.process.pid) if idle is not None else 0.0
        room = free + held - sum(self._still_to_take(worker) for worker in others)
        return next((trial for trial in self._waiting if self._expected_mb(trial) <= room), None)

    def _still_to_take(self, worker: _Worker) -> float:
        """How much a worker at work is expected to grow, in MB."""
        assert worker.trial is not None
        return max(0.0, self._expected_mb(worker.trial) - resident_mb(worker.process.pid))

    def _expected_mb(self, trial: Trial) -> float:
        first = trial.specs[0]
        peak = self._peaks.get((first.task.id, first.label))
        return self._memory_of(trial) if peak is None else peak

    def _remember_peak(self, trial: Trial) -> None:
        """Keep what a trial took; it is never less than what its worker's earlier ones took."""
        first = trial.specs[0]
        found = [status.peak_memory_mb for s in trial.specs if (status := trial.status(s))]
        peak = max([*found, self._peaks.get((first.task.id, first.label), 0.0)])
        if peak:
            self._peaks[first.task.id, first.label] = peak

    def _spawn(self, slot: int, logs: Path) -> _Worker:
        environment = {**os.environ, **worker_environment()}
        if self._gpus:
            environment[VISIBLE] = self._gpus[slot]
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
    printed = log.read_text(errors="replace").splitlines()[-20:]
    return "\n".join([f"its process ended with {ending_of(code)}", *printed])
