"""One trial's work: set up, train to the next evaluation, evaluate, save; again from where it was.

Knows nothing of Ray or of processes: an executor iterates over `work(trial)`.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from algorithms import registry
from algorithms.errors import DivergedError, author_line
from algorithms.source import code_digest
from harness.errors import EnvironmentFailedError, UserError, describe
from harness.execution.live_seeds import LiveSeeds
from harness.execution.pretraining import SharedPretraining
from harness.execution.trial_runs import TrialRuns
from harness.runs.tables import outcomes
from harness.runs.trial import Trial

if TYPE_CHECKING:
    from algorithms.engine.engine import Engine
    from harness.execution.trial_evaluation import TrialEvaluation
    from harness.rollouts.interaction import OnlineTraining

_CHUNK_SECONDS = 1.0  # a stop request is noticed between chunks
_FIRST_CHUNK = 32  # gradient steps, before the speed is known
_CHECKPOINT_SECONDS = 60.0  # the most that a killed run loses


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


class TrialWork:
    """The runs of all seeds of a trial, which stand at the same step and advance together."""

    engine: Engine
    seeds: LiveSeeds
    evaluation: TrialEvaluation
    _online: OnlineTraining | None = None
    _pretraining: SharedPretraining | None = None

    def __init__(self, trial: Trial, stop: Callable[[], bool]) -> None:
        self.trial = trial
        self.spec = trial.specs[0]
        self.runs = TrialRuns(trial)
        self._chunk = _FIRST_CHUNK
        self._stop = stop

    @property
    def step(self) -> int:
        """Gradient steps that the runs have taken."""
        return self.runs.step

    def start(self) -> None:
        """Open the data, build engine and evaluators, and continue from the checkpoint if any."""
        self.runs.begin()
        import torch

        from harness.data import ensure
        from harness.execution.engines import check_method, make_engine, selection_of
        from harness.execution.trial_evaluation import TrialEvaluation

        # One thread, whatever the executor grants: sums must not depend on the thread count.
        torch.set_num_threads(1)
        data = ensure(self.spec.task)
        self._check_data(data.sha256)
        if self.step == 0:
            for remark in check_method(self.spec, data.transitions):
                print(f"{self.spec.label}: {remark}", file=sys.stderr, flush=True)
        numbers = [run.spec.seed for run in self.runs]
        self.engine = make_engine(self.spec, numbers, data.transitions)
        self.seeds = LiveSeeds(self.spec, self.runs, self.engine)
        self._check_code()
        own_selection = selection_of(self.spec, self.engine.algorithm)
        if self.step > 0:
            self.engine.load_state(self.runs.load(own_selection), self.step)
        self.evaluation = TrialEvaluation(self.seeds, own_selection, self.trial.evaluators)
        self._share_pretraining()
        self.evaluation.start_processes()
        self._write_provenance(data.sha256, data.manifest)

    def _check_data(self, sha256: str) -> None:
        """Raises UserError if the data are not those that were planned with."""
        if sha256 != self.spec.dataset_sha256:
            raise UserError(
                f"the data of {self.spec.task.id} changed after the run was planned: sha256 "
                f"{sha256}, expected {self.spec.dataset_sha256}. Run the suite again."
            )

    def _check_code(self) -> None:
        """Raises UserError if the method that was imported is not the one that was planned."""
        algorithm = self.spec.algorithm
        found = code_digest(registry.algorithms()[algorithm].module)
        if found != self.spec.code:
            raise UserError(
                f"the code of {algorithm} changed after the run was planned: digest {found}, "
                f"expected {self.spec.code}. Run the suite again."
            )

    def _share_pretraining(self) -> None:
        """Take over the pretraining of another trial, or become the one that does it."""
        if self.step >= self.engine.pretraining_steps:
            return
        results = self.trial.suite_dir.parent
        self._pretraining = SharedPretraining(results, self.spec, self.engine.seeds, self.engine)
        self.seeds.join(self._pretraining)
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
                self.evaluation.finish()
                self.save()
                self.runs.write_status("interrupted")
                return
            self.evaluation.evaluate()
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
            if self.evaluation.is_ready:
                self.evaluation.finish()
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
        self._end_seeds(unable, failure)

    def _end_seeds(self, unable: Mapping[int, str], failure: EnvironmentFailedError | None) -> None:
        """End the runs that have diverged or cannot act, by slot, or whose environment failed."""
        if self.evaluation.is_under_way and self.engine.diverged():
            self.evaluation.finish()  # which began before
        self.seeds.end_diverged(unable)
        if failure is not None:
            self.seeds.end_failed(failure)

    def _go_online(self) -> None:
        from harness.rollouts.interaction import OnlineTraining

        self._online = OnlineTraining(self.spec.task, self.engine)
        self.seeds.join(self._online)
        self._chunk = 1  # until its speed is known: a step takes longer than it did

    def _train_online(self, steps: int) -> None:
        assert self._online is not None
        for lived in self._online.train(steps):
            slot = self.engine.seeds.index(lived.episode.seed)
            run = self.runs[slot]
            run.tables.add_online(lived.step, lived.episode)
            run.trackers.log(lived.step, outcomes("online", run.spec.task, [lived.episode]))

    def save(self) -> None:
        """Write a checkpoint for every seed, but not while an evaluation is under way."""
        if not self.evaluation.is_under_way:
            self.seeds.write_checkpoints(self.step, self.engine.state)

    def fail(self, error: Exception) -> None:
        """Record `error` as the end of every run that is left; what was saved before stays."""
        evaluation = getattr(self, "evaluation", None)  # none if it could not start
        if evaluation is not None:
            with suppress(Exception):
                evaluation.finish()  # which began before
        trace = "".join(traceback.format_exception(error))
        print(trace, file=sys.stderr, flush=True)
        engine = getattr(self, "engine", None)
        where = author_line(error, type(engine.algorithm)) if engine is not None else ""
        self.runs.write_status("failed", describe(error, trace, where))

    def close(self) -> None:
        """Release the environments, trackers, and compiled code that a next trial cannot use."""
        self.runs.close()
        evaluation = getattr(self, "evaluation", None)
        if evaluation is not None:
            evaluation.close()
        if self._online is not None:
            self._online.close()
        if self._pretraining is not None:
            self._pretraining.release()
        if self.spec.compiled:
            import torch

            torch.compiler.reset()
