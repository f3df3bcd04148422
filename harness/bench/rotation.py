"""Contenders taking turns on one core."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import UserError

ROUNDS = 9
CHUNK_SECONDS = 0.4


@dataclass
class Contender:
    """One process that runs a chunk of updates whenever it is told to."""

    name: str
    process: subprocess.Popen[str]
    learners: int  # seeds trained by one update
    peak_memory_mb: float = 0.0
    rates: list[float] = field(default_factory=list)  # updates a CPU-second, all learners together

    def run_chunk(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        answer = _read(self.process, self.name)
        self.rates.append(self.learners * answer["updates"] / answer["cpu_seconds"])
        self.peak_memory_mb = answer["peak_memory_mb"]


@dataclass(frozen=True)
class Rate:
    """Updates a CPU-second over the rounds, and the ratio to those of the contender `base`."""

    name: str
    median: float
    low: float
    high: float
    ratio: float
    base: str
    peak_memory_mb: float


def last_core() -> int:
    """The core that contenders share; on systems that cannot pin, its number means nothing."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


def pin_to(core: int) -> None:
    """Keep this process on one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def measure(
    workers: Sequence[tuple[str, Sequence[str]]], core: int, bases: Mapping[str, str]
) -> list[Rate]:
    """Rate of every `(name, worker arguments)`, in rotation. Raises UserError if one dies.

    bases: by name, whose rate a contender's is compared with; the first one's where not said.
    """
    contenders: list[Contender] = []
    try:
        for name, arguments in workers:
            contenders.append(_start(name, arguments, core))
        for _ in range(ROUNDS):
            for contender in contenders:
                contender.run_chunk()
    finally:
        for contender in contenders:
            contender.process.kill()
            contender.process.wait()
    rates = {c.name: c.rates for c in contenders}
    found = []
    for c in contenders:
        base = bases.get(c.name, contenders[0].name)
        ratios = [mine / other for mine, other in zip(c.rates, rates[base], strict=True)]
        spread = (statistics.median(c.rates), min(c.rates), max(c.rates))
        found.append(Rate(c.name, *spread, statistics.median(ratios), base, c.peak_memory_mb))
    return found


def _start(name: str, arguments: Sequence[str], core: int) -> Contender:
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, "-m", "harness.bench.worker", str(core), *arguments]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | threads,
    )
    return Contender(name, process, _read(process, name)["learners"])


def _read(process: subprocess.Popen[str], name: str) -> dict[str, Any]:
    """The next answer; a worker may print other lines, which are passed over."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("@"):
            answer: dict[str, Any] = json.loads(line[1:])
            return answer
    raise UserError(f"bench: the worker for '{name}' ended early; its message is above.")
