"""The runs of a trial's seeds as files: status, provenance, tables, checkpoints, trackers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.execution.memory import peak_mb
from harness.runs.checkpoint import Checkpoint
from harness.runs.folder import RunFolder
from harness.runs.spec import RunSpec
from harness.runs.status import State, Status, now
from harness.runs.tables import RunTables, outcomes
from harness.runs.trackers import Tracked, Trackers
from harness.runs.trial import Trial

if TYPE_CHECKING:
    from harness.rollouts.evaluation import Evaluation
    from harness.runs.checkpoint import SeedState

_LONG_SAVE = 3.0  # seconds: of a minute 5%; checkpoints that take longer are written less often


@dataclass(frozen=True)
class SeedRun:
    """One seed's run, and what was known of it when the work began."""

    spec: RunSpec
    folder: RunFolder
    tables: RunTables
    trackers: Trackers
    described: bool  # whether its provenance is as the run left it
    note: str  # what a reader should know of its checkpoints


class TrialRuns:
    """The runs of all seeds that are left, in the engine's slots; all stand at the same step.

    Attributes:
        step: gradient steps that they have taken.
        seconds: of training, evaluation and in all, over resumptions.
        steps_per_second: of training, lately.
        others_peak_mb: the most memory of the trial's other processes.
    """

    def __init__(self, trial: Trial) -> None:
        found = [trial.folder(spec).read_checkpoint(spec.hash) for spec in trial.specs]
        self._saved_states = [checkpoint for checkpoint, _ in found if checkpoint is not None]
        self._invocation = trial.invocation
        self._total_steps = trial.specs[0].total_steps
        self.step = self._saved_states[0].step if self._saved_states else 0
        # A run at its end only has its tables made whole: its numbers stay of whoever made them.
        self._only_repairs = self.step == self._total_steps
        self._runs = [
            SeedRun(
                spec,
                folder := trial.folder(spec),
                RunTables(folder, spec.task, spec.seed),
                Trackers(Tracked(spec, trial.suite_dir), trial.trackers),
                folder.is_intact("provenance.json"),
                _note(self.step, wrong),
            )
            for spec, (_, wrong) in zip(trial.specs, found, strict=True)
        ]
        self.seconds = {"train_seconds": 0.0, "evaluation_seconds": 0.0, "wall_seconds": 0.0}
        self.steps_per_second = 0.0
        self.others_peak_mb: Callable[[], float] = lambda: 0.0
        self._activity = "starting"
        self._started = now()
        self._clock = self._saved = time.perf_counter()
        self._save_seconds = 0.0

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[SeedRun]:
        return iter(self._runs)

    def __getitem__(self, slot: int) -> SeedRun:
        return self._runs[slot]

    @property
    def evaluated_step(self) -> int:
        """The step of the latest evaluation in the tables."""
        return self._runs[0].tables.evaluated_step

    def begin(self) -> None:
        """Make the folders ready for what is to come."""
        for run in self._runs:
            run.folder.clear_leftovers()
            run.folder.write_spec(run.spec)
        self.write_status("running")

    def load(self, own_selection: str) -> list[SeedState]:
        """Take tables and seconds over from the checkpoints; their learning states, by slot.

        own_selection: the runs' own action selection.
        """
        for run, saved in zip(self._runs, self._saved_states, strict=True):
            run.tables.load(saved.tables, self.step, own_selection)
        self.take_over(self._runs[0].folder)
        states = [saved.state for saved in self._saved_states]
        self._saved_states = []  # which the caller has from here on
        return states

    def take_over(self, folder: RunFolder) -> None:
        """Count the seconds that another process spent, by what it left in a folder."""
        self.seconds |= folder.read_seconds()
        self._clock -= self.seconds["wall_seconds"]

    def count_wall_seconds(self) -> None:
        """Bring `seconds` up to the present."""
        self.seconds["wall_seconds"] = time.perf_counter() - self._clock

    def write_provenance(self, content: Mapping[str, Any]) -> None:
        """Say how the runs are made, but of numbers that are there already."""
        for run in self._runs:
            if not (self._only_repairs and run.described):
                run.folder.write_provenance(content)

    def record(
        self,
        step: int,
        found: Mapping[str, Evaluation],
        train_seconds: float,
        metrics: Mapping[int, Mapping[str, float]],
    ) -> None:
        """Write an evaluation into the tables.

        Args:
            step: that was evaluated.
            found: by action selection, the runs' own first.
            train_seconds: since the evaluation before.
            metrics: of training, by seed.
        """
        for run in self._runs:
            scores: list[float] = []
            tracked: dict[str, float] = {}
            for selection, evaluation in found.items():
                seconds = (0.0 if scores else train_seconds, evaluation.seconds)
                timing = (*seconds, evaluation.amortized_action_ms)
                mine = [e for e in evaluation.episodes if e.seed == run.spec.seed]
                prefix = f"evaluation/{selection}" if scores else "evaluation"
                tracked |= outcomes(prefix, run.spec.task, mine)
                scores.append(run.tables.add(step, selection, mine, timing))
            run.tables.close_step(step, scores[0], metrics[run.spec.seed])
            run.trackers.log(step, {**metrics[run.spec.seed], **tracked})

    def write_checkpoints(
        self, step: int, state_of: Callable[[int], SeedState], preprocessing: SeedState
    ) -> None:
        """Save every seed's state after a step.

        Args:
            step: of the states.
            state_of: the learning state, by slot.
            preprocessing: of the data that all learn from.
        """
        start = time.perf_counter()
        self.count_wall_seconds()
        for slot, run in enumerate(self._runs):
            state, tables = state_of(slot), run.tables.content()
            checkpoint = Checkpoint(run.spec.hash, step, state, tables, preprocessing)
            run.folder.write_checkpoint(checkpoint, self.seconds)
        self._saved = time.perf_counter()
        self._save_seconds = self._saved - start

    def is_save_due(self, seconds: float) -> bool:
        """Whether the latest checkpoints are that old, or older if they took long to write."""
        wait = seconds * max(1.0, self._save_seconds / _LONG_SAVE)
        return time.perf_counter() - self._saved > wait

    def drop(self, slot: int, reason: str, step: int) -> SeedRun:
        """End one run as failed after a step; those in later slots move up."""
        run = self._runs.pop(slot)
        run.trackers.close(done=False)
        self._write_status([run], "failed", reason, step)
        return run

    def be_at(self, activity: str) -> None:
        """Let those who watch know, if it is news."""
        if activity != self._activity:
            self._activity = activity
            self.write_status("running")

    def write_status(self, state: State, error: str = "") -> None:
        """Of all runs that are left, at the present step."""
        self._write_status(self._runs, state, error, self.step)

    def close(self) -> None:
        """End what trackers hear."""
        for run in self._runs:
            run.trackers.close(done=self.step == self._total_steps)

    def _write_status(self, runs: Sequence[SeedRun], state: State, error: str, step: int) -> None:
        self.count_wall_seconds()
        status = Status(
            state=state,
            step=step,
            total_steps=self._total_steps,
            invocation=self._invocation,
            started=self._started,
            activity=self._activity if state == "running" else "",
            error=error,
            finished="" if state == "running" else now(),
            train_seconds=self.seconds["train_seconds"],
            evaluation_seconds=self.seconds["evaluation_seconds"],
            wall_seconds=self.seconds["wall_seconds"],
            steps_per_second=self.steps_per_second,
            peak_memory_mb=round(peak_mb() + self.others_peak_mb(), 1),
        )
        for run in runs:
            run.folder.write_status(
                replace(
                    status,
                    note="; ".join(filter(None, (run.note, run.trackers.note))),
                    evaluated_step=run.tables.evaluated_step,
                    latest_score=run.tables.latest_score,
                )
            )


def _note(step: int, wrong: Sequence[str]) -> str:
    """What a reader should know of checkpoints that were passed over."""
    went_on = f"went on from step {step}" if step else "began anew"
    return f"{went_on}, as {' and '.join(wrong)}" if wrong else ""
