"""Evaluation beside training: processes that score a trial's policies while it trains on.

A policy acts there as it does in the trial's own process, bit for bit: on the same device, with the
noise of its own streams, which depends on the seed, the step and the action selection alone.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, TypeAdapter
from safetensors.numpy import load, save

from algorithms.engine.engine import learned
from harness.errors import UserError
from harness.execution.executor import RESTARTS, ending_of
from harness.rollouts.evaluation import Evaluation
from harness.runs.spec import RunSpec

Arrays = dict[str, NDArray[Any]]

_PREPROCESSING = "preprocessing"


@dataclass(frozen=True)
class Snapshot:
    """Policies as they are after `step` gradient steps.

    Attributes:
        selections: how they are to act, the run's own first.
        states: `Engine.state()` by seed; of a snapshot that was packed, what acting needs of it.
        preprocessing: what the data decide of acting.
    """

    step: int
    selections: Sequence[str]
    states: Mapping[int, Arrays]
    preprocessing: Arrays

    def pack(self, seeds: Sequence[int]) -> bytes:
        """What an evaluator of these seeds is sent: a line that tells the length of the rest."""
        groups: dict[str, Arrays] = {str(seed): learned(self.states[seed]) for seed in seeds}
        groups[_PREPROCESSING] = self.preprocessing
        arrays = {f"{group}/{k}": a for group, found in groups.items() for k, a in found.items()}
        content = save({name: np.asarray(array) for name, array in arrays.items()})
        head = Head(
            step=self.step, selections=[*self.selections], seeds=[*seeds], size=len(content)
        )
        return head.model_dump_json().encode() + b"\n" + content

    @classmethod
    def unpack(cls, head: Head, content: bytes) -> Snapshot:
        """What was packed."""
        groups: dict[str, dict[str, NDArray[Any]]] = {}
        for name, array in load(content).items():
            group, _, key = name.partition("/")
            groups.setdefault(group, {})[key] = array
        states = {seed: groups[str(seed)] for seed in head.seeds}
        return cls(head.step, head.selections, states, groups[_PREPROCESSING])


class Head(BaseModel, frozen=True):
    """The first line of a packed snapshot; `size` bytes follow."""

    step: int
    selections: list[str]
    seeds: list[int]
    size: int


@dataclass(frozen=True)
class Outcome:
    """What came of a snapshot.

    Attributes:
        found: the evaluations by action selection, of the seeds that had no failure.
        diverged: what was not finite, by seed.
        failed: a sentence and a traceback on the environment, by seed.
        error: what else went wrong, for all; else empty.
        peak_mb: the most memory that the process has held.
    """

    found: dict[str, Evaluation] = field(default_factory=dict)
    diverged: dict[int, str] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    error: str = ""
    peak_mb: float = 0.0

    def pack(self) -> bytes:
        """One line. Floats keep their bits."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def unpack(cls, line: bytes) -> Outcome:
        """What was packed."""
        return _OUTCOME.validate_python(json.loads(line))


_OUTCOME = TypeAdapter(Outcome)


class Evaluators:
    """Processes that evaluate, each some seeds of a trial; one snapshot at a time.

    One that dies is replaced, and its replacement given the same snapshot.

    Args:
        spec: of a run of the trial.
        seeds: of all its runs.
        processes: how many, at most as many as seeds.
    """

    def __init__(self, spec: RunSpec, seeds: Sequence[int], processes: int) -> None:
        parts = np.array_split(seeds, processes)
        self._seeds = [*seeds]
        self._processes = [_Process(spec, part.tolist()) for part in parts]
        self._ended_mb = 0.0  # of processes whose seeds have all been dropped

    @property
    def peak_mb(self) -> float:
        """The most memory that they have held, as far as they have told."""
        return self._ended_mb + sum(process.peak_mb for process in self._processes)

    def submit(self, snapshot: Snapshot) -> None:
        """Begin to evaluate a snapshot; its outcome is to be collected before the next."""
        for process in self._processes:
            process.send(snapshot.pack(process.seeds))

    def is_ready(self) -> bool:
        """Whether `collect` would not wait long."""
        answers = [process.answers for process in self._processes]
        ready, _, _ = select.select(answers, [], [], 0)
        return len(ready) == len(answers)

    def collect(self) -> Outcome:
        """Wait for what came of the snapshot.

        Raises UserError with what an evaluator says it failed of, or if one died too often.
        """
        outcomes = [process.answer() for process in self._processes]
        for outcome in outcomes:
            if outcome.error:
                raise UserError(outcome.error)
        names = dict.fromkeys(name for outcome in outcomes for name in outcome.found)
        return Outcome(
            found={
                name: _joined([o.found[name] for o in outcomes if name in o.found])
                for name in names
            },
            diverged={seed: what for o in outcomes for seed, what in o.diverged.items()},
            failed={seed: what for o in outcomes for seed, what in o.failed.items()},
        )

    def drop(self, slot: int) -> None:
        """Evaluate that seed no more; those after it move up."""
        seed = self._seeds.pop(slot)
        for process in [process for process in self._processes if seed in process.seeds]:
            process.seeds.remove(seed)
            if not process.seeds:
                self._processes.remove(process)
                self._ended_mb += process.peak_mb
                process.close()

    def close(self) -> None:
        """End them, whatever they are at."""
        for process in self._processes:
            process.close()


class _Process:
    """One evaluator, and the one that replaces it if it dies."""

    def __init__(self, spec: RunSpec, seeds: list[int]) -> None:
        self.seeds = seeds
        self.peak_mb = 0.0
        self._spec = spec
        self._deaths = 0
        self._sent = b""
        self._start()

    def _start(self) -> None:
        read, written = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "harness.execution.evaluator", str(written)],
            stdin=subprocess.PIPE,
            pass_fds=[written],
        )
        os.close(written)
        self.answers = os.fdopen(read, "rb")
        self._write(f"{self._spec.model_dump_json()}\n{json.dumps(self.seeds)}\n".encode())

    def send(self, content: bytes) -> None:
        self._sent = content
        self._write(content)

    def answer(self) -> Outcome:
        """Wait for the outcome of what was sent. Raises UserError if it died too often."""
        while not (line := self.answers.readline()).endswith(b"\n"):
            ending = ending_of(self._process.wait())
            self._deaths += 1
            if self._deaths > RESTARTS:
                raise UserError(
                    f"the process that evaluates ended {self._deaths} times, the last time with "
                    f"{ending}. What was saved before is intact: lower resources.cpus_per_trial to "
                    "1 if memory is short, then run again."
                )
            self._close_pipes()
            self._start()
            self._write(self._sent)
        outcome = Outcome.unpack(line)
        self.peak_mb = outcome.peak_mb
        return outcome

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._close_pipes()

    def _write(self, content: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died just now; `answer` will notice
            self._process.stdin.write(content)
            self._process.stdin.flush()

    def _close_pipes(self) -> None:
        assert self._process.stdin is not None
        self.answers.close()
        with suppress(BrokenPipeError):
            self._process.stdin.close()


def _joined(parts: Sequence[Evaluation]) -> Evaluation:
    """The evaluation of all seeds, whose parts were made side by side."""
    return Evaluation(
        episodes=[episode for part in parts for episode in part.episodes],
        amortized_action_ms=median(part.amortized_action_ms for part in parts),
        seconds=max(part.seconds for part in parts),
    )
