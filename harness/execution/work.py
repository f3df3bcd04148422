"""One trial's work: set up, train to the next evaluation, evaluate, save; again from where it was.

Knows nothing of Ray or of processes: an executor iterates over `work(trial)`.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from algorithms import registry
from algorithms.errors import DivergedError, author_line
from algorithms.source import code_digest
from harness.errors import EnvironmentFailedError, UserError, describe
from harness.execution.pretraining import SharedPretraining
from harness.execution.trial_runs import TrialRuns
from harness.runs.tables import outcomes
from harness.runs.trial import Trial

if TYPE_CHECKING:
    from algorithms.engine.engine import Engine
    from harness.execution.evaluations import Evaluators, Snapshot
    from harness.rollouts.evaluation import Evaluation, Evaluator
    from harness.rollouts.interaction import OnlineTraining
    from harness.runs.checkpoint import SeedState

_CHUNK_SECONDS = 1.0  # a stop request is noticed between chunks
_FIRST_CHUNK = 32  # gradient steps, before the speed is known
_CHECKPOINT_SECONDS = 60.0  # the most that a killed run loses
_DIVERGED = (
    ": the run has diverged and was stopped. With the same settings it will again: change them in "
    "the suite (a lower learning rate, say), or leave the seed out."
)

_NEVER_FINITE = (
    ": it is no finite number from the start, so that the run was stopped. `python -m harness "
    "check {}` says where in the method that comes from."
)


def work(trial: Trial, stop: Callable[[], bool] | None = None) -> Iterator[int]:
    """Do all that is left of a trial's runs, yielding the step of each evaluation.

    Everything a run leaves is in its files, also its failure: no error is raised for it.
    Once `stop()` is true the runs are saved and marked as interrupted.
    """
    stop = stop or trial.stop_requested
    with trial.sole_work(stop) as ours:
        for part in trial.parts() if ours else ():
            if stop():
                part.interrupt_begun()
                continue
            trial_work = TrialWork(part, stop)
            try:
                trial_work.start()
                yield from trial_work.evaluations()
            except Exception as error:
                trial_work.fail(error)
            finally:
                trial_work.close()


@dataclass(frozen=True)
class _Evaluated:
    """A step that is evaluated, and what training had come to by then."""

    step: int
    train_seconds: float  # since the evaluation before
    metrics: Mapping[int, Mapping[str, float]]  # by seed


class TrialWork:
    """The runs of all seeds of a trial, which stand at the same step and advance together.

    A seed that diverges, or whose environment fails, ends alone: its run has failed, and the others
    go on as if it had not been there.

    With a core to spare, other processes evaluate while this one trains on; every file but times
    has the bytes that it has without. One evaluation is under way at most, and no checkpoint is
    written meanwhile: a run that is killed then goes on from before it.
    """

    engine: Engine
    evaluator: Evaluator | None = None
    _evaluators: Evaluators | None = None
    _under_way: tuple[_Evaluated, Snapshot] | None = None
    _online: OnlineTraining | None = None
    _pretraining: SharedPretraining | None = None

    def __init__(self, trial: Trial, stop: Callable[[], bool]) -> None:
        self.trial = trial
        self.spec = trial.specs[0]
        self.runs = TrialRuns(trial)
        self._chunk = _FIRST_CHUNK
        self._stop = stop
        self._reported_training = 0.0  # train_seconds at the latest evaluation

    @property
    def step(self) -> int:
        """Gradient steps that the runs have taken."""
        return self.runs.step

    def start(self) -> None:
        """Open the data, build engine and evaluator, and continue from the checkpoint if any."""
        self.runs.begin()
        import torch

        from harness.data import ensure
        from harness.execution.engines import check_method, make_engine, selection_of
        from harness.rollouts.evaluation import Evaluator

        # One thread, whatever the executor grants: sums must not depend on the thread count.
        torch.set_num_threads(1)
        data = ensure(self.spec.task)
        if data.sha256 != self.spec.dataset_sha256:
            raise UserError(
                f"the data of {self.spec.task.id} changed after the run was planned: sha256 "
                f"{data.sha256}, expected {self.spec.dataset_sha256}. Run the suite again."
            )
        if self.step == 0:
            for remark in check_method(self.spec, data.transitions):
                print(f"{self.spec.label}: {remark}", file=sys.stderr, flush=True)
        seeds = [run.spec.seed for run in self.runs]
        self.engine = make_engine(self.spec, seeds, data.transitions)
        self._own_selection = selection_of(self.spec, self.engine.algorithm)
        self._check_code()
        # With evaluators, all that is left to do here is to measure decisions.
        episodes = 1 if self.trial.evaluators else self.spec.evaluation.episodes
        self.evaluator = Evaluator(self.spec.task, seeds, episodes)
        self._load()
        self._share_pretraining()
        if self.trial.evaluators and self.runs.evaluated_step < self.spec.total_steps:
            from harness.execution.evaluations import Evaluators

            self._evaluators = evaluators = Evaluators(self.spec, seeds, self.trial.evaluators)
            self.runs.others_peak_mb = lambda: evaluators.peak_mb
        self._write_provenance(data.sha256, data.manifest)

    def _check_code(self) -> None:
        """Raises UserError if the method that was imported is not the one that was planned."""
        algorithm = self.spec.algorithm
        found = code_digest(registry.algorithms()[algorithm].module)
        if found != self.spec.code:
            raise UserError(
                f"the code of {algorithm} changed after the run was planned: digest {found}, "
                f"expected {self.spec.code}. Run the suite again."
            )

    def _load(self) -> None:
        if self.step > 0:
            states = self.runs.load(self._own_selection)
            self.engine.load_state(states, self.step)
            self._reported_training = self.runs.seconds["train_seconds"]

    def _share_pretraining(self) -> None:
        """Take over the pretraining of another trial, or become the one that does it."""
        if self.step >= self.engine.pretraining_steps:
            return
        results = self.trial.suite_dir.parent
        self._pretraining = SharedPretraining(results, self.spec, self.engine.seeds, self.engine)
        waiting = partial(self.runs.be_at, "waiting")
        if not self._pretraining.wait(self._stop, waiting):
            return
        self.engine.load_pretrained(self._pretraining.states(), self.engine.pretraining_steps)
        self.runs.step = self.engine.pretraining_steps
        self.runs.take_over(self._pretraining.folders[0])

    def _leave_pretraining(self) -> None:
        """Save what other trials can start from, and let them."""
        if self._pretraining is not None:
            self.runs.count_wall_seconds()
            slots = range(len(self.runs))
            self._pretraining.leave(map(self.engine.pretrained_state, slots), self.runs.seconds)
            self._pretraining.release()

    def _write_provenance(self, sha256: str, manifest: Mapping[str, Any]) -> None:
        from harness.runs.provenance import algorithm_facts, provenance

        content = provenance(
            algorithm=algorithm_facts(self.spec.algorithm, self.spec.code),
            command=self.trial.command,
            executor=self.trial.executor,
            seeds=list(self.engine.seeds),
            compiled=self.engine.compiled,
            dataset={"id": self.spec.task.dataset.id, "sha256": sha256, "manifest": manifest},
        )
        self.runs.write_provenance(content)

    def evaluations(self) -> Iterator[int]:
        """Train and evaluate up to the end of the budget, yielding the step of each evaluation.

        Within pretraining there is nothing to evaluate that is the method's own.
        """
        for step in self.spec.evaluation_steps():
            if step <= self.runs.evaluated_step or step < self.engine.pretraining_steps:
                continue
            if not self.train_until(step):
                self._finish_evaluation()
                self.save()
                self.runs.write_status("interrupted")
                return
            self.evaluate()
            if not self.runs:
                return
            yield step
        self.runs.write_status("done")

    def train_until(self, step: int) -> bool:
        """Take gradient steps up to `step`; False if a stop was asked for before it.

        So it is if every seed has diverged.
        """
        pretrained = self.engine.pretraining_steps
        if self.step == self.spec.steps < step:
            self._go_online()
        while self.step < step:
            if self._stop() or not self.runs:
                return False
            if self._is_prepared():
                goal = min(step, self.engine.stage_end)
                steps = min(self._chunk, goal - self.step)
                self.runs.be_at("compiling" if self.engine.compiles_within(steps) else "training")
                self._train_chunk(steps)
                if self.step == pretrained:
                    self._leave_pretraining()
            if self._evaluators is not None and self._evaluators.is_ready():
                self._finish_evaluation()
            if self.runs.is_save_due(_CHECKPOINT_SECONDS):
                self.save()
            self.runs.write_status("running")
        return bool(self.runs)

    def _is_prepared(self) -> bool:
        """Whether the next step can be taken; if not, compute a part of what its stage asks for."""
        start = time.perf_counter()
        share = self.engine.prepare(_CHUNK_SECONDS)
        self.runs.seconds["train_seconds"] += time.perf_counter() - start
        if share < 1:
            self.runs.be_at(f"preparing {share:.0%}")
        return share == 1

    def _train_chunk(self, steps: int) -> None:
        """Take up to `steps` gradient steps; fewer if a seed can act no more."""
        start = time.perf_counter()
        unable: Mapping[int, str] = {}
        failure: EnvironmentFailedError | None = None
        if self.step < self.spec.steps:
            self.engine.train(steps)
        else:
            try:
                self._train_online(steps)
            except DivergedError as error:
                unable = error.reasons
            except EnvironmentFailedError as error:
                failure = error
        self.engine.metrics()  # waits for the device
        seconds = time.perf_counter() - start
        taken = self.engine.step - self.step
        self.runs.step = self.engine.step
        self.runs.seconds["train_seconds"] += seconds
        self.runs.steps_per_second = taken / seconds
        self._chunk = max(1, round(taken / seconds * _CHUNK_SECONDS))
        if self._under_way is not None and self.engine.diverged():
            self._finish_evaluation()  # which began before
        self._end_diverged(unable)
        if failure is not None:
            self._end_failed(failure)

    def _end_diverged(self, unable: Mapping[int, str]) -> None:
        """End the runs that have diverged, before anything of theirs is scored or saved.

        unable: reasons that acting gave, by slot; the engine's come first, as they lie deeper.
        """
        reasons = {slot: f"{what} after step {self.step}" for slot, what in unable.items()}
        reasons |= self.engine.diverged()
        never = self.engine.broken_from_the_start() if reasons else set()
        said = {True: _NEVER_FINITE.format(self.spec.algorithm), False: _DIVERGED}
        told = {slot: f"{what}{said[slot in never]}" for slot, what in reasons.items()}
        self._end(told, self.step)

    def _end_failed(self, failure: EnvironmentFailedError) -> None:
        """End the run whose environment has failed, unless it has diverged as well."""
        if failure.seed in self.engine.seeds:
            trace = "".join(traceback.format_exception(failure))
            slot = self.engine.seeds.index(failure.seed)
            self._end({slot: f"{failure}\n\n{trace}"}, self.step)

    def _end(self, reasons: Mapping[int, str], step: int) -> None:
        """End runs as failed after a step, for reasons by slot; the others go on."""
        for slot in sorted(reasons, reverse=True):
            run = self.runs.drop(slot, reasons[slot], step)
            parts = (self.engine, self.evaluator, self._evaluators, self._online, self._pretraining)
            for part in parts:
                if part is not None:
                    part.drop(slot)
            print(f"{run.spec.label} seed {run.spec.seed}: {reasons[slot]}", file=sys.stderr)

    def _go_online(self) -> None:
        from harness.rollouts.interaction import OnlineTraining

        self._online = OnlineTraining(self.spec.task, self.engine)
        self._chunk = 1  # until its speed is known: a step takes longer than it did

    def _train_online(self, steps: int) -> None:
        assert self._online is not None
        for lived in self._online.train(steps):
            slot = self.engine.seeds.index(lived.episode.seed)
            run = self.runs[slot]
            run.tables.add_online(lived.step, lived.episode)
            run.trackers.log(lived.step, outcomes("online", run.spec.task, [lived.episode]))

    def evaluate(self) -> None:
        """Evaluate all seeds' policies by every action selection, write the tables, and save.

        Training on the data may go on meanwhile: then that is done by the next evaluation.
        """
        self._finish_evaluation()
        if not self.runs:
            return
        metrics = self.engine.metrics()
        evaluated = _Evaluated(
            step=self.step,
            train_seconds=self.runs.seconds["train_seconds"] - self._reported_training,
            metrics={
                seed: {name: float(values[slot]) for name, values in metrics.items()}
                for slot, seed in enumerate(self.engine.seeds)
            },
        )
        self._reported_training = self.runs.seconds["train_seconds"]
        if self._evaluators is None:
            self.runs.be_at("evaluating")
            self._record(evaluated, self._evaluate_here(), self.engine.state)
        else:
            snapshot = self._snapshot()
            self._evaluators.submit(snapshot)
            self._under_way = evaluated, snapshot
            if self.step >= self.spec.steps:
                self._finish_evaluation()
        self.runs.write_status("running")

    def _evaluate_here(self) -> dict[str, Evaluation]:
        """All seeds' episodes by every action selection.

        The runs of seeds that cannot act, or whose environments fail, are ended, and the others
        evaluated without them.
        """
        from harness.rollouts.evaluation import evaluation_stream

        assert self.evaluator is not None
        found: dict[str, Evaluation] = {}
        while self.runs and not found:
            try:
                found = {
                    name: self.evaluator.evaluate_on_stream(
                        evaluation_stream(self.step, name, self._own_selection),
                        partial(self.engine.policy, selection=name),
                    )
                    for name in self._action_selections()
                }
            except DivergedError as error:
                self._end_diverged(error.reasons)
            except EnvironmentFailedError as failure:
                self._end_failed(failure)
        return found

    def _snapshot(self) -> Snapshot:
        from harness.execution.evaluations import Snapshot

        states = {seed: self.engine.state(slot) for slot, seed in enumerate(self.engine.seeds)}
        preprocessing = self.engine.preprocessing.state()
        return Snapshot(self.step, self._action_selections(), states, preprocessing)

    def _finish_evaluation(self) -> None:
        """Wait for the evaluation that is under way, if any, and write what came of it."""
        if self._evaluators is None or self._under_way is None:
            return
        (evaluated, snapshot), self._under_way = self._under_way, None
        self.runs.be_at("evaluating")
        outcome = self._evaluators.collect()
        step = evaluated.step
        reasons = outcome.failed | {
            seed: f"{what} after step {step}{_DIVERGED}" for seed, what in outcome.diverged.items()
        }
        seeds = self.engine.seeds
        self._end({seeds.index(seed): reason for seed, reason in reasons.items()}, step)
        states = snapshot.states
        self._record(evaluated, outcome.found, lambda slot: states[self.engine.seeds[slot]])

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
        self.runs.seconds["evaluation_seconds"] += sum(made.seconds for made in found.values())
        if self.runs and step == self.spec.total_steps:
            # No score depends on it, so that no run ends for what it meets here.
            with suppress(DivergedError, EnvironmentFailedError):
                self._measure_policies()
        self.runs.record(step, found, evaluated.train_seconds, evaluated.metrics)
        self._write_checkpoints(step, state_of)

    def _measure_policies(self) -> None:
        """What the trained policies are like: how long a decision takes, and values in a maze."""
        assert self.evaluator is not None
        for selection in self._action_selections():
            policy = self.engine.policy("decision", selection, slot=0)
            milliseconds = self.evaluator.decision_ms(policy)
            for run in self.runs:
                run.tables.add_decision(self.step, selection, milliseconds)
        if (rest := self.evaluator.rest()) is not None:
            places, observations = rest
            values = self.engine.policy_values("values", observations)
            if values is not None:
                for run, found in zip(self.runs, values, strict=True):
                    run.tables.set_values(self.step, places, found)

    def _action_selections(self) -> list[str]:
        """The run's own, and after the last step those the suite asks for and the method can."""
        at_the_end = self.step == self.spec.total_steps
        asked = self.spec.evaluation.action_selections if at_the_end else ()
        return [
            *dict.fromkeys([self._own_selection, *filter(self.engine.algorithm.supports, asked)])
        ]

    def save(self) -> None:
        """Write a checkpoint for every seed, but not while an evaluation is under way."""
        if self._under_way is None:
            self._write_checkpoints(self.step, self.engine.state)

    def _write_checkpoints(self, step: int, state_of: Callable[[int], SeedState]) -> None:
        """Save every seed's state after a step, unless that is in the middle of its online ones."""
        if self.spec.steps < step < self.spec.total_steps:
            return
        self.runs.write_checkpoints(step, state_of, self.engine.preprocessing.state())

    def fail(self, error: Exception) -> None:
        """Record `error` as the end of every run that is left; what was saved before stays."""
        with suppress(Exception):
            self._finish_evaluation()  # which began before
        trace = "".join(traceback.format_exception(error))
        print(trace, file=sys.stderr, flush=True)
        engine = getattr(self, "engine", None)
        where = author_line(error, type(engine.algorithm)) if engine is not None else ""
        self.runs.write_status("failed", describe(error, trace, where))

    def close(self) -> None:
        """Release the environments, trackers, and compiled code that a next trial cannot use."""
        self.runs.close()
        if self.evaluator is not None:
            self.evaluator.close()
        if self._evaluators is not None:
            self._evaluators.close()
        if self._online is not None:
            self._online.close()
        if self._pretraining is not None:
            self._pretraining.release()
        if self.spec.compiled:
            import torch

            torch.compiler.reset()
