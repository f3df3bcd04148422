"""A trial: runs of one task and algorithm whose seeds train together in one process."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict

from harness.files import short_digest
from harness.runs.folder import RunFolder
from harness.runs.spec import RunSpec
from harness.runs.status import Status, now

STOP_FILE = ".stop"
LOCKS = ".locks"  # of the runs that are worked on, by hash
_POLL_SECONDS = 0.5
_NAME = 200  # letters; file systems allow 255 in the name of a folder


class Trial(BaseModel):
    """What a worker needs to know, as plain data. All specs are equal but for their seeds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    suite_dir: Path  # absolute, and the same on every node
    specs: tuple[RunSpec, ...]
    invocation: str  # id of the `harness run` that asked for it
    command: str
    executor: str
    trackers: tuple[str, ...] = ()  # that are given the numbers, too
    cpus: int = 1  # cores that are reserved for it; more than one changes no number

    @property
    def name(self) -> str:
        """`pointmaze_umaze-iql-seeds-0-1-2`; short enough to name a folder, however many seeds."""
        first = self.specs[0]
        seeds = "-".join(str(spec.seed) for spec in self.specs)
        name = f"{first.task.id.replace('/', '_')}-{first.label}-seeds-{seeds}"
        return name if len(name) <= _NAME else f"{name[: _NAME - 17]}-{short_digest(name)}"

    @property
    def evaluators(self) -> int:
        """How many processes evaluate beside its training; 0: it evaluates itself, in turn.

        On a GPU one at most: every process takes memory there.
        """
        most = len(self.specs) if self.specs[0].device == "cpu" else 1
        return min(self.cpus - 1, most)

    def folder(self, spec: RunSpec) -> RunFolder:
        return RunFolder(self.suite_dir / spec.folder)

    def status(self, spec: RunSpec) -> Status | None:
        """The run's status if it was written in this invocation."""
        status = self.folder(spec).status()
        return status if status is not None and status.invocation == self.invocation else None

    @contextmanager
    def sole_work(self, stop: Callable[[], bool]) -> Iterator[bool]:
        """Hold the trial's runs, so that no other process writes them; False if stopped first.

        A worker whose driver was killed works on until it notices: its successor waits for it.
        """
        with ExitStack() as held:
            for spec in self.specs:
                folder = self.suite_dir / LOCKS
                folder.mkdir(parents=True, exist_ok=True)
                lock = FileLock(folder / f"{spec.hash}.lock", thread_local=False)
                while not _acquired(lock):
                    if stop():
                        yield False
                        return
                held.callback(lock.release)
                holder_file(Path(lock.lock_file)).write_text(str(os.getpid()))
            yield True

    def is_begun(self, taken_up: Container[str]) -> bool:
        """Whether its runs are among those that workers have `taken_up`."""
        return self.specs[0].hash in taken_up

    def stop_requested(self) -> bool:
        """Whether the user asked all runs of the suite to stop."""
        return (self.suite_dir / STOP_FILE).exists()

    def parts(self) -> list[Trial]:
        """What is left, split into seeds that stand at the same step, and so can train stacked."""
        by_step: dict[int, list[RunSpec]] = {}
        for spec in self.specs:
            if self._is_over(spec):
                continue  # its worker died after it had ended
            checkpoint, _ = self.folder(spec).read_checkpoint(spec.hash)
            by_step.setdefault(checkpoint.step if checkpoint else 0, []).append(spec)
        return [self.model_copy(update={"specs": tuple(specs)}) for specs in by_step.values()]

    def is_over(self) -> bool:
        """Whether every run has its final status, as `interrupted` is if all are to stop."""
        return all(self._is_over(spec) for spec in self.specs)

    def _is_over(self, spec: RunSpec) -> bool:
        status = self.status(spec)
        ended = ("done", "failed", "interrupted") if self.stop_requested() else ("done", "failed")
        return status is not None and status.state in ended

    def interrupt_begun(self) -> None:
        """Mark the runs that a worker was at when it died as interrupted."""
        for spec in self.specs:
            status = self.status(spec)
            if status is not None and status.state == "running":
                ended = replace(status, state="interrupted", activity="", finished=now())
                self.folder(spec).write_status(ended)

    def fail_unfinished(self, error: str) -> None:
        """Mark the runs that left no final status, because their worker died, as failed.

        After a stop request, runs that never started stay as they are.
        """
        for spec in self.specs:
            status = self.status(spec)
            if status is None and not self.stop_requested():
                self.folder(spec).write_spec(spec)
                status = Status("running", 0, spec.total_steps, self.invocation, now())
            if status is not None and not self._is_over(spec):
                failed = replace(status, state="failed", error=error, finished=now())
                self.folder(spec).write_status(failed)


def holder_file(lock: Path) -> Path:
    """Where the process that holds a run's lock, or held it last, has left its number."""
    return lock.with_suffix(".pid")


def taken_up(suite_dir: Path) -> set[str]:
    """Hashes of the runs that workers have begun with since their locks were last cleared."""
    folder = suite_dir / LOCKS
    return {path.stem for path in folder.iterdir()} if folder.is_dir() else set()


def _acquired(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=_POLL_SECONDS)
    except Timeout:
        return False
    return True


def group(
    specs: Iterable[RunSpec],
    seeds_per_trial: int,
    *,
    suite_dir: Path,
    invocation: str,
    command: str,
    executor: str,
    trackers: Sequence[str] = (),
    cpus: int = 1,
) -> list[Trial]:
    """Group runs of the same cell into trials of up to `seeds_per_trial` seeds, in order."""
    cells: dict[tuple[str, str], list[RunSpec]] = {}
    for spec in specs:
        cells.setdefault((spec.label, spec.cell), []).append(spec)
    return [
        Trial(
            suite_dir=suite_dir,
            specs=tuple(members[start : start + seeds_per_trial]),
            invocation=invocation,
            command=command,
            executor=executor,
            trackers=tuple(trackers),
            cpus=cpus,
        )
        for members in cells.values()
        for start in range(0, len(members), seeds_per_trial)
    ]
