"""Contenders taking turns on one core, or on one GPU."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.errors import UserError

ROUNDS = 9
CHUNK_SECONDS = 0.4
PRODUCT_SECONDS = 0.1
ANSWER_SECONDS = 900.0  # the longest wait for a worker; compiling takes 20 to 100 s, undisturbed

Worker = tuple[str, Sequence[str]]
"""A contender's name, and the arguments of its process (`worker.py`)."""

Place = int | Literal["cuda"]
"""A core's number, or the GPU, where seconds are of the wall."""


@dataclass
class Contender:
    """One process that runs a chunk of updates whenever it is told to."""

    name: str
    process: subprocess.Popen[str]
    learners: int = 1  # seeds trained by one update
    flop: float | None = None  # of the matrix products of an update, a seed
    peak_memory_mb: float = 0.0
    rates: list[float] = field(default_factory=list)  # updates a CPU-second, all learners together
    bounds: list[float] = field(default_factory=list)  # what they were if products took all of it

    def warm_up(self) -> None:
        answer = _read(self.process, self.name)
        self.learners, self.flop = answer["learners"], answer["flop"]

    def run_chunk(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended already: its last words say why
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        answer = _read(self.process, self.name)
        self.rates.append(self.learners * answer["updates"] / answer["seconds"])
        if self.flop is not None:
            self.bounds.append(answer["flop_per_cpu_second"] / self.flop)
        self.peak_memory_mb = answer["peak_memory_mb"]


@dataclass(frozen=True)
class Rate:
    """Updates a CPU-second over the rounds, and the medians of what each round compares them with.

    Attributes:
        ratio: to those of the contender `base`; None: that one failed.
        flop: of the matrix products of an update, a seed; None: not known.
        bound: updates a CPU-second if these products took all the time.
        share: of the bound that is reached.
    """

    name: str
    median: float
    low: float
    high: float
    ratio: float | None
    base: str
    flop: float | None
    bound: float | None
    share: float | None
    peak_memory_mb: float


def last_core() -> int:
    """The core that contenders share; on systems that cannot pin, its number means nothing."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


def pin_to(core: int) -> None:
    """Keep this process on one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def measure(
    workers: Sequence[Worker],
    place: Place,
    bases: Mapping[str, str],
    starting: Callable[[str], None],
    failed: dict[str, str] | None = None,
) -> list[Rate]:
    """Rate of every worker, in rotation.

    Args:
        workers: what takes part.
        place: where; on a GPU all of them compile at once, on a core one after the other.
        bases: by name, whose rate a contender's is compared with; the first one's where not said.
        starting: is told the name of the worker that compiles and warms up next.
        failed: where the reasons go of those that die or keep the others waiting, by name.

    Without `failed`, the first that fails raises UserError.
    """
    contenders: list[Contender] = []
    alive: list[Contender] = []

    def attempt(contender: Contender, act: Callable[[Contender], None]) -> bool:
        try:
            act(contender)
        except UserError as error:
            if failed is None:
                raise
            failed[contender.name] = str(error)
            return False
        return True

    try:
        at_once = len(workers) if place == "cuda" else 1
        for first in range(0, len(workers), at_once):
            for name, arguments in workers[first : first + at_once]:
                starting(name)
                contenders.append(Contender(name, _start(arguments, place)))
            started = contenders[first:]
            alive += [contender for contender in started if attempt(contender, Contender.warm_up)]
        for _ in range(ROUNDS):
            alive = [contender for contender in alive if attempt(contender, Contender.run_chunk)]
    finally:
        for contender in contenders:
            contender.process.kill()
            contender.process.wait()
    rates = {contender.name: contender.rates for contender in alive}
    common = workers[0][0]
    return [_rate(contender, bases.get(contender.name, common), rates) for contender in alive]


def ask(worker: Worker, place: Place) -> dict[str, Any]:
    """What a worker of one answer says. Raises UserError if it fails or takes too long."""
    name, arguments = worker
    process = _start(arguments, place)
    try:
        return _read(process, name)
    finally:
        process.kill()
        process.wait()


def _rate(contender: Contender, base: str, rates: Mapping[str, Sequence[float]]) -> Rate:
    mine, bounds = contender.rates, contender.bounds
    known = contender.flop is not None
    return Rate(
        name=contender.name,
        median=statistics.median(mine),
        low=min(mine),
        high=max(mine),
        ratio=_median_ratio(mine, rates[base]) if base in rates else None,
        base=base,
        flop=contender.flop,
        bound=statistics.median(bounds) if known else None,
        share=_median_ratio(mine, bounds) if known else None,
        peak_memory_mb=contender.peak_memory_mb,
    )


def _median_ratio(mine: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(mine, theirs, strict=True))


def _start(arguments: Sequence[str], place: Place) -> subprocess.Popen[str]:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return subprocess.Popen(
        [sys.executable, "-m", "harness.bench.worker", str(place), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | threads,
    )


def _read(process: subprocess.Popen[str], name: str) -> dict[str, Any]:
    """The next answer; a worker may print other lines, which are passed over.

    Raises UserError if the worker fails, dies, or says nothing for too long; then it is killed.
    """
    assert process.stdout is not None
    late = threading.Event()

    def give_up() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(ANSWER_SECONDS, give_up)
    timer.start()
    try:
        line = next((line for line in process.stdout if line.startswith("@")), None)
    finally:
        timer.cancel()
    if line is None and late.is_set():
        raise UserError(f"bench: '{name}' took more than {ANSWER_SECONDS:.0f} s and was ended.")
    if line is None:
        raise UserError(
            f"bench: the worker for '{name}' ended early (exit code {process.wait()}); "
            "its message, if it left one, is above."
        )
    answer: dict[str, Any] = json.loads(line[1:])
    if "failure" in answer:
        raise UserError(f"bench: '{name}' failed: {answer['failure']}")
    return answer
