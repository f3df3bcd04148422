"""A trial's evaluations: made here or by other processes, and written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from algorithms.errors import DivergedError
from harness.errors import EnvironmentFailedError
from harness.execution.evaluations import Evaluators, Snapshot
from harness.execution.live_seeds import LiveSeeds
from harness.rollouts.evaluation import Evaluation, Evaluator, evaluation_stream

if TYPE_CHECKING:
    from harness.runs.checkpoint import SeedState


@dataclass(frozen=True)
class _Evaluated:
    """A step that is evaluated, and what training had come to by then."""

    step: int
    train_seconds: float  # since the evaluation before
    metrics: Mapping[int, Mapping[str, float]]  # by seed


class TrialEvaluation:
    """Evaluates the policies of all seeds that are left, and saves them as they were then.

    With a core to spare, other processes evaluate while this one trains on; every file but times
    has the bytes that it has without. One evaluation is under way at most, and no checkpoint is to
    be written meanwhile: a run that is killed then goes on from before it.

    Args:
        seeds: at the step that they go on from, whose training up to there has been reported.
        own_selection: the runs' own action selection.
        processes: others that are to evaluate, once they are started.
    """

    _evaluators: Evaluators | None = None
    _under_way: tuple[_Evaluated, Snapshot] | None = None

    def __init__(self, seeds: LiveSeeds, own_selection: str, processes: int) -> None:
        self.seeds = seeds
        self._spec = seeds.spec
        self._runs = seeds.runs
        self._engine = seeds.engine
        self._own_selection = own_selection
        self._processes = processes
        self._reported_training = self._runs.seconds["train_seconds"]
        # With evaluators, all that is left to do here is to measure decisions.
        episodes = 1 if processes else self._spec.evaluation.episodes
        self._evaluator = Evaluator(self._spec.task, self._engine.seeds, episodes)
        seeds.join(self._evaluator)

    def start_processes(self) -> None:
        """Start the processes that are to evaluate, if any, unless all is evaluated already."""
        if self._processes and self._runs.evaluated_step < self._spec.total_steps:
            evaluators = Evaluators(self._spec, self._engine.seeds, self._processes)
            self._evaluators = evaluators
            self.seeds.join(evaluators)
            self._runs.others_peak_mb = lambda: evaluators.peak_mb

    @property
    def is_under_way(self) -> bool:
        """Whether other processes have been given an evaluation that is not written down yet."""
        return self._under_way is not None

    @property
    def is_ready(self) -> bool:
        """Whether `finish` would not wait long."""
        return self._evaluators is not None and self._evaluators.is_ready()

    def evaluate(self) -> None:
        """Evaluate all seeds' policies by every action selection, write the tables, and save.

        Training on the data may go on meanwhile: then that is done by the next evaluation.
        """
        self.finish()
        if not self._runs:
            return
        evaluated = self._evaluated()
        self._reported_training = self._runs.seconds["train_seconds"]
        if self._evaluators is None:
            self._runs.be_at("evaluating")
            self._record(evaluated, self._evaluate_here(), self._engine.state)
        else:
            snapshot = self._snapshot()
            self._evaluators.submit(snapshot)
            self._under_way = evaluated, snapshot
            if self._runs.step >= self._spec.steps:
                self.finish()
        self._runs.write_status("running")

    def finish(self) -> None:
        """Wait for the evaluation that is under way, if any, and write what came of it."""
        if self._evaluators is None or self._under_way is None:
            return
        (evaluated, snapshot), self._under_way = self._under_way, None
        self._runs.be_at("evaluating")
        outcome = self._evaluators.collect()
        self.seeds.end_unevaluated(evaluated.step, outcome.diverged, outcome.failed)
        states = snapshot.states
        self._record(evaluated, outcome.found, lambda slot: states[self._engine.seeds[slot]])

    def close(self) -> None:
        """Release the environments, and end the processes."""
        self._evaluator.close()
        if self._evaluators is not None:
            self._evaluators.close()

    def _evaluated(self) -> _Evaluated:
        metrics = self._engine.metrics()
        return _Evaluated(
            step=self._runs.step,
            train_seconds=self._runs.seconds["train_seconds"] - self._reported_training,
            metrics={
                seed: {name: float(values[slot]) for name, values in metrics.items()}
                for slot, seed in enumerate(self._engine.seeds)
            },
        )

    def _evaluate_here(self) -> dict[str, Evaluation]:
        """All seeds' episodes by every action selection.

        The runs of seeds that cannot act, or whose environments fail, are ended, and the others
        evaluated without them.
        """
        found: dict[str, Evaluation] = {}
        while self._runs and not found:
            try:
                found = {
                    name: self._evaluator.evaluate_on_stream(
                        evaluation_stream(self._runs.step, name, self._own_selection),
                        partial(self._engine.policy, selection=name),
                    )
                    for name in self._action_selections()
                }
            except DivergedError as error:
                self.seeds.end_diverged(error.reasons)
            except EnvironmentFailedError as failure:
                self.seeds.end_failed(failure)
        return found

    def _snapshot(self) -> Snapshot:
        engine = self._engine
        states = {seed: engine.state(slot) for slot, seed in enumerate(engine.seeds)}
        preprocessing = engine.preprocessing.state()
        return Snapshot(self._runs.step, self._action_selections(), states, preprocessing)

    def _action_selections(self) -> list[str]:
        """The run's own, and after the last step those the suite asks for and the method can."""
        at_the_end = self._runs.step == self._spec.total_steps
        asked = self._spec.evaluation.action_selections if at_the_end else ()
        able = filter(self._engine.algorithm.supports, asked)
        return [*dict.fromkeys([self._own_selection, *able])]

    def _record(
        self,
        evaluated: _Evaluated,
        found: Mapping[str, Evaluation],
        state_of: Callable[[int], SeedState],
    ) -> None:
        """Write an evaluation into the tables, and save the runs as they were then.

        Args:
            evaluated: its step.
            found: by action selection, the run's own first.
            state_of: the learning state at that step, by slot.
        """
        step = evaluated.step
        self._runs.seconds["evaluation_seconds"] += sum(made.seconds for made in found.values())
        if self._runs and step == self._spec.total_steps:
            # No score depends on it, so that no run ends for what it meets here.
            with suppress(DivergedError, EnvironmentFailedError):
                self._measure_policies()
        self._runs.record(step, found, evaluated.train_seconds, evaluated.metrics)
        self.seeds.write_checkpoints(step, state_of)

    def _measure_policies(self) -> None:
        """What the trained policies are like: how long a decision takes, and values in a maze."""
        step = self._runs.step
        for selection in self._action_selections():
            policy = self._engine.policy("decision", selection, slot=0)
            milliseconds = self._evaluator.decision_ms(policy)
            for run in self._runs:
                run.tables.add_decision(step, selection, milliseconds)
        if (rest := self._evaluator.rest()) is not None:
            places, observations = rest
            values = self._engine.policy_values("values", observations)
            if values is not None:
                for run, found in zip(self._runs, values, strict=True):
                    run.tables.set_values(step, places, found)
