"""One trial's work: set up, train to the next evaluation, evaluate, save; again from where it was.

Knows nothing of Ray or of processes: an executor iterates over `work(trial)`.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from algorithms import registry
from algorithms.errors import author_line
from algorithms.source import code_digest
from harness.errors import UserError, describe
from harness.execution.pretraining import SharedPretraining
from harness.runs.checkpoint import Checkpoint
from harness.runs.folder import State, Status, now
from harness.runs.tables import RunTables
from harness.runs.trial import Trial

if TYPE_CHECKING:
    from algorithms.engine.engine import Engine
    from harness.rollouts.evaluation import Evaluator
    from harness.rollouts.interaction import OnlineTraining

_CHUNK_SECONDS = 1.0  # a stop request is noticed between chunks
_FIRST_CHUNK = 32  # gradient steps, before the speed is known
_CHECKPOINT_SECONDS = 60.0  # the most that a killed run loses


def work(trial: Trial, stop: Callable[[], bool] | None = None) -> Iterator[int]:
    """Do all that is left of a trial's runs, yielding the step after each evaluation.

    Everything a run leaves is in its files, also its failure: no error is raised for it.
    Once `stop()` is true the runs are saved and marked as interrupted.
    """
    stop = stop or trial.stop_requested
    with trial.sole_work(stop) as ours:
        for part in trial.parts() if ours else ():
            if stop():
                return
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
    evaluator: Evaluator | None = None
    _online: OnlineTraining | None = None
    _pretraining: SharedPretraining | None = None

    def __init__(self, trial: Trial, stop: Callable[[], bool]) -> None:
        self.trial = trial
        self.spec = trial.specs[0]
        self.seeds = [spec.seed for spec in trial.specs]
        self.folders = [trial.folder(spec) for spec in trial.specs]
        self.tables = [
            RunTables(folder, self.spec.task, seed)
            for folder, seed in zip(self.folders, self.seeds, strict=True)
        ]
        found = [
            folder.read_checkpoint(spec.hash)
            for folder, spec in zip(self.folders, trial.specs, strict=True)
        ]
        self._saved_states = [checkpoint for checkpoint, _ in found if checkpoint is not None]
        self.step = self._saved_states[0].step if self._saved_states else 0
        # A run at its end only has its tables made whole: its numbers stay of whoever made them.
        self._only_repairs = self.step == self.spec.total_steps
        self._described = [folder.is_intact("provenance.json") for folder in self.folders]
        self._notes = [_note(self.step, wrong) for _, wrong in found]
        self.seconds = {"train_seconds": 0.0, "evaluation_seconds": 0.0, "wall_seconds": 0.0}
        self._steps_per_second = 0.0
        self._chunk = _FIRST_CHUNK
        self._stop = stop
        self._activity = "starting"
        self._started = now()
        self._clock = self._saved = time.perf_counter()
        self._reported_training = 0.0  # train_seconds at the latest evaluation

    # --- set-up -----------------------------------------------------------------------------

    def start(self) -> None:
        """Open the data, build engine and evaluator, and continue from the checkpoint if any."""
        for folder, spec in zip(self.folders, self.trial.specs, strict=True):
            folder.clear_leftovers()
            folder.write_spec(spec)
        self._write_status("running")
        import torch

        from harness.data import ensure
        from harness.execution.engines import check_method, make_engine
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
        self.engine = make_engine(self.spec, self.seeds, data.transitions)
        self._check_code()
        self.evaluator = Evaluator(self.spec.task, self.seeds, self.spec.evaluation.episodes)
        self._load()
        self._share_pretraining()
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
        if self.step == 0:
            return
        self.engine.load_state([saved.state for saved in self._saved_states], self.step)
        own_selection = self.engine.algorithm.action_selection
        for tables, saved in zip(self.tables, self._saved_states, strict=True):
            tables.load(saved.tables, self.step, own_selection)
        self._saved_states = []  # they are in the engine now
        self.seconds |= self.folders[0].read_seconds()
        self._clock -= self.seconds["wall_seconds"]
        self._reported_training = self.seconds["train_seconds"]

    def _share_pretraining(self) -> None:
        """Take over the pretraining of another trial, or become the one that does it."""
        if self.step >= self.engine.pretraining_steps:
            return
        results = self.trial.suite_dir.parent
        self._pretraining = SharedPretraining(results, self.spec, self.seeds, self.engine)
        self._be_at("waiting for pretraining that another trial does")
        if not self._pretraining.wait(self._stop):
            return
        self.engine.load_pretrained(self._pretraining.states(), self.engine.pretraining_steps)
        self.step = self.engine.pretraining_steps
        self.seconds |= self._pretraining.folders[0].read_seconds()
        self._clock -= self.seconds["wall_seconds"]

    def _leave_pretraining(self) -> None:
        """Save what other trials can start from, and let them."""
        if self._pretraining is not None:
            self._count_wall_seconds()
            slots = range(len(self.seeds))
            self._pretraining.leave(map(self.engine.pretrained_state, slots), self.seconds)
            self._pretraining.release()

    def _write_provenance(self, sha256: str, manifest: Mapping[str, Any]) -> None:
        from harness.runs.provenance import algorithm_facts, provenance

        content = provenance(
            algorithm=algorithm_facts(self.spec.algorithm, self.spec.code),
            command=self.trial.command,
            executor=self.trial.executor,
            seeds=self.seeds,
            compiled=self.engine.compiled,
            dataset={"id": self.spec.task.dataset.id, "sha256": sha256, "manifest": manifest},
        )
        for folder, described in zip(self.folders, self._described, strict=True):
            if not (self._only_repairs and described):
                folder.write_provenance(content)

    # --- the work ---------------------------------------------------------------------------

    def evaluations(self) -> Iterator[int]:
        """Train and evaluate up to the end of the budget, yielding after each evaluation.

        Within pretraining there is nothing to evaluate that is the method's own.
        """
        for step in self.spec.evaluation_steps():
            if step <= self.tables[0].evaluated_step or step < self.engine.pretraining_steps:
                continue
            if not self.train_until(step):
                self.save()
                self._write_status("interrupted")
                return
            self.evaluate()
            yield step
        self._write_status("done")

    def train_until(self, step: int) -> bool:
        """Take gradient steps up to `step`; False if a stop was asked for before it."""
        pretrained = self.engine.pretraining_steps
        if self.step == self.spec.steps < step:
            self._go_online()
        while self.step < step:
            if self._stop():
                return False
            goal = min(step, self.engine.stage_end)
            steps = min(self._chunk, goal - self.step)
            self._be_at("compiling" if self.engine.compiles_within(steps) else "training")
            self._train_chunk(steps)
            if self.step == pretrained:
                self._leave_pretraining()
            if time.perf_counter() - self._saved > _CHECKPOINT_SECONDS:
                self.save()
            self._write_status("running")
        return True

    def _train_chunk(self, steps: int) -> None:
        start = time.perf_counter()
        if self.step < self.spec.steps:
            self.engine.train(steps)
        else:
            self._train_online(steps)
        self.engine.metrics()  # waits for the device
        seconds = time.perf_counter() - start
        self.step = self.engine.step
        self.seconds["train_seconds"] += seconds
        self._steps_per_second = steps / seconds
        self._chunk = max(1, round(self._steps_per_second * _CHUNK_SECONDS))

    def _go_online(self) -> None:
        from harness.rollouts.interaction import OnlineTraining

        self._online = OnlineTraining(self.spec.task, self.engine)
        self._chunk = 1  # until its speed is known: a step takes longer than it did

    def _train_online(self, steps: int) -> None:
        assert self._online is not None
        for lived in self._online.train(steps):
            slot = self.seeds.index(lived.episode.seed)
            self.tables[slot].add_online(lived.step, lived.episode)

    def evaluate(self) -> None:
        """Evaluate all seeds' policies by every action selection, write the tables, and save."""
        self._be_at("evaluating")
        training = self.seconds["train_seconds"] - self._reported_training
        self._reported_training = self.seconds["train_seconds"]
        own, *others = self._action_selections()
        scores = self._evaluate(own, f"evaluation/{self.step}", training)
        for selection in others:
            self._evaluate(selection, f"evaluation/{self.step}/{selection}", 0.0)
        metrics = self.engine.metrics()
        for i, (score, tables) in enumerate(zip(scores, self.tables, strict=True)):
            values = {name: float(values[i]) for name, values in metrics.items()}
            tables.close_step(self.step, score, values)
        self.save()
        self._write_status("running")

    def _evaluate(self, selection: str, stream: str, train_seconds: float) -> list[float]:
        """Evaluate by one action selection; returns every seed's score, in points."""
        assert self.evaluator is not None
        evaluation = self.evaluator.evaluate(
            self.engine.policy(stream, selection),
            lambda wave: self.engine.policy(f"{stream}/wave-{wave}", selection),
        )
        self.seconds["evaluation_seconds"] += evaluation.seconds
        timing = (train_seconds, evaluation.seconds, evaluation.amortized_action_ms)
        return [
            tables.add(
                self.step, selection, [e for e in evaluation.episodes if e.seed == seed], timing
            )
            for seed, tables in zip(self.seeds, self.tables, strict=True)
        ]

    def _action_selections(self) -> list[str]:
        """The algorithm's own, and after the last step those the suite asks for and it can."""
        own = self.engine.algorithm.action_selection
        at_the_end = self.step == self.spec.total_steps
        asked = self.spec.evaluation.action_selections if at_the_end else ()
        return [*dict.fromkeys([own, *filter(self.engine.algorithm.supports, asked)])]

    # --- what is left behind ----------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint for every seed, unless it is in the middle of its online steps."""
        if self.spec.steps < self.step < self.spec.total_steps:
            return
        self._count_wall_seconds()
        for slot, (folder, spec) in enumerate(zip(self.folders, self.trial.specs, strict=True)):
            state, tables = self.engine.state(slot), self.tables[slot].content()
            folder.write_checkpoint(Checkpoint(spec.hash, self.step, state, tables), self.seconds)
        self._saved = time.perf_counter()

    def fail(self, error: Exception) -> None:
        """Record `error` as the end of every run; what was saved before stays."""
        trace = "".join(traceback.format_exception(error))
        print(trace, file=sys.stderr, flush=True)
        engine = getattr(self, "engine", None)
        where = author_line(error, type(engine.algorithm)) if engine is not None else ""
        self._write_status("failed", describe(error, trace, where))

    def close(self) -> None:
        """Release the environments, and the compiled code that a next trial cannot use."""
        if self.evaluator is not None:
            self.evaluator.close()
        if self._online is not None:
            self._online.close()
        if self._pretraining is not None:
            self._pretraining.release()
        if self.spec.compiled:
            import torch

            torch.compiler.reset()

    def _be_at(self, activity: str) -> None:
        """Let those who watch know, if it is news."""
        if activity != self._activity:
            self._activity = activity
            self._write_status("running")

    def _write_status(self, state: State, error: str = "") -> None:
        self._count_wall_seconds()
        status = Status(
            state=state,
            step=self.step,
            total_steps=self.spec.total_steps,
            invocation=self.trial.invocation,
            started=self._started,
            activity=self._activity if state == "running" else "",
            error=error,
            finished="" if state == "running" else now(),
            train_seconds=self.seconds["train_seconds"],
            evaluation_seconds=self.seconds["evaluation_seconds"],
            wall_seconds=self.seconds["wall_seconds"],
            steps_per_second=self._steps_per_second,
        )
        for folder, tables, note in zip(self.folders, self.tables, self._notes, strict=True):
            folder.write_status(
                replace(
                    status,
                    note=note,
                    evaluated_step=tables.evaluated_step,
                    latest_score=tables.latest_score,
                )
            )

    def _count_wall_seconds(self) -> None:
        self.seconds["wall_seconds"] = time.perf_counter() - self._clock


def _note(step: int, wrong: Sequence[str]) -> str:
    """What a reader should know of checkpoints that were passed over."""
    went_on = f"went on from step {step}" if step else "began anew"
    return f"{went_on}, as {' and '.join(wrong)}" if wrong else ""
