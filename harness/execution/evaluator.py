"""What `Evaluators` run: `python -m harness.execution.evaluator FD`.

Reads a run's spec, the seeds, and then snapshots from standard input, and writes an outcome a line
to the file descriptor FD. It ends at once when its trial's process is gone.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Collection
from functools import partial

import torch

from algorithms import registry
from algorithms.engine.precision import use_products
from algorithms.engine.preprocessing import Preprocessing
from algorithms.engine.trained import Trained
from algorithms.errors import DivergedError, author_line
from harness.errors import EnvironmentFailedError, describe
from harness.execution.engines import config_of
from harness.execution.evaluations import Head, Outcome, Snapshot
from harness.execution.memory import peak_mb
from harness.rollouts.evaluation import Evaluation, Evaluator, Policy, evaluation_stream
from harness.runs.spec import RunSpec
from harness.tasks import known_q_of


def main() -> None:
    """Evaluate every snapshot that is sent. Nothing but the trial's process ends this one."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    spec = RunSpec.model_validate_json(sys.stdin.buffer.readline())
    seeds = json.loads(sys.stdin.buffer.readline())
    snapshots: queue.SimpleQueue[Snapshot] = queue.SimpleQueue()
    threading.Thread(target=_read, args=[snapshots], daemon=True).start()
    evaluator: SeedsEvaluator | None = None
    with open(int(sys.argv[1]), "wb") as answers:
        while True:
            snapshot = snapshots.get()
            try:
                evaluator = evaluator or SeedsEvaluator(spec, seeds)
                outcome = evaluator.evaluate(snapshot)
            except Exception as error:
                trace = "".join(traceback.format_exception(error))
                print(trace, file=sys.stderr, flush=True)
                where = author_line(error, registry.load(spec.algorithm))
                outcome = Outcome(error=describe(error, trace, where))
            answers.write(outcome.pack())
            answers.flush()


def _read(snapshots: queue.SimpleQueue[Snapshot]) -> None:
    """Take in what is sent, also during an evaluation, so that the end of it is noticed."""
    while line := sys.stdin.buffer.readline():
        head = Head.model_validate_json(line)
        content = sys.stdin.buffer.read(head.size)
        if len(content) == head.size:
            snapshots.put(Snapshot.unpack(head, content))
    os._exit(0)


class SeedsEvaluator:
    """Evaluates snapshots of some seeds of a run; a seed that fails is evaluated no more."""

    def __init__(self, spec: RunSpec, seeds: list[int]) -> None:
        self._spec = spec
        self._config = config_of(spec)
        self._device = torch.device(spec.device)
        self._seeds = seeds
        torch.set_num_threads(1)  # as in the trial's own process
        use_products(spec.precision, self._device)
        self._evaluator = Evaluator(spec.task, seeds, spec.evaluation.episodes)

    def evaluate(self, snapshot: Snapshot) -> Outcome:
        """Evaluate all seeds of a snapshot, or without those that fail the others."""
        found: dict[str, Evaluation] = {}
        diverged: dict[int, str] = {}
        failed: dict[int, str] = {}
        self._keep(snapshot.states)
        while self._seeds and not found:
            trained = self._trained(snapshot)
            try:
                found = {
                    name: self._evaluator.evaluate_on_stream(
                        evaluation_stream(snapshot.step, name, snapshot.selections[0]),
                        partial(self._policy, trained, name),
                    )
                    for name in snapshot.selections
                }
            except DivergedError as error:
                diverged |= {self._seeds[slot]: what for slot, what in error.reasons.items()}
            except EnvironmentFailedError as error:
                failed[error.seed] = f"{error}\n\n{''.join(traceback.format_exception(error))}"
            self._keep(snapshot.states.keys() - diverged.keys() - failed.keys())
        return Outcome(found, diverged, failed, peak_mb=peak_mb())

    def _keep(self, seeds: Collection[int]) -> None:
        for slot in reversed(range(len(self._seeds))):
            if self._seeds[slot] not in seeds:
                self._evaluator.drop(slot)
                del self._seeds[slot]

    def _policy(self, trained: Trained, selection: str, stream: str) -> Policy:
        return trained.policy(trained.noise(self._seeds, stream), selection)

    def _trained(self, snapshot: Snapshot) -> Trained:
        """The policies of the seeds that are left."""
        return Trained(
            self._spec.algorithm,
            self._config,
            Preprocessing.of_state(snapshot.preprocessing, self._device),
            [snapshot.states[seed] for seed in self._seeds],
            snapshot.step,
            offline_steps=self._spec.steps,
            online_steps=self._spec.online_steps,
            known_q=known_q_of(self._spec.task, self._config),
        )


if __name__ == "__main__":
    main()
