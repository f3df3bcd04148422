"""The seeds of a trial that are left, and how one ends while the others go on."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from harness.errors import EnvironmentFailedError
from harness.execution.trial_runs import TrialRuns
from harness.runs.spec import RunSpec

if TYPE_CHECKING:
    from algorithms.engine.engine import Engine
    from harness.runs.checkpoint import SeedState

_DIVERGED = (
    ": the run has diverged and was stopped. With the same settings it will again: change them in "
    "the suite (a lower learning rate, say), or leave the seed out."
)
_NEVER_FINITE = (
    ": it is no finite number from the start, so that the run was stopped. `python -m harness "
    "check {}` says where in the method that comes from."
)


class _Part(Protocol):
    """What has a slot for every seed that is left."""

    def drop(self, slot: int) -> None:
        """Leave out the seed in that slot; those after it move up."""


class LiveSeeds:
    """The seeds that are left, each in one slot of the runs, the engine and the parts that join.

    A seed that diverges, or whose environment fails, ends alone: its run has failed, and the others
    go on as if it had not been there.

    Args:
        spec: of a run of the trial.
        runs: of the seeds, which stand at the same step.
        engine: that trains them.
    """

    def __init__(self, spec: RunSpec, runs: TrialRuns, engine: Engine) -> None:
        self.spec = spec
        self.runs = runs
        self.engine = engine
        self._parts: list[_Part] = [engine]

    def join(self, part: _Part) -> None:
        """Have a part drop the seeds that end from here on."""
        self._parts.append(part)

    def end_diverged(self, unable: Mapping[int, str]) -> None:
        """End the runs that have diverged, before anything of theirs is scored or saved.

        unable: reasons that acting gave, by slot; the engine's come first, as they lie deeper.
        """
        step = self.runs.step
        reasons = {slot: f"{what} after step {step}" for slot, what in unable.items()}
        reasons |= self.engine.diverged()
        never = self.engine.broken_from_the_start() if reasons else set()
        said = {True: _NEVER_FINITE.format(self.spec.algorithm), False: _DIVERGED}
        self._end({slot: f"{what}{said[slot in never]}" for slot, what in reasons.items()}, step)

    def end_failed(self, failure: EnvironmentFailedError) -> None:
        """End the run whose environment has failed, unless it has diverged as well."""
        if failure.seed in self.engine.seeds:
            trace = "".join(traceback.format_exception(failure))
            slot = self.engine.seeds.index(failure.seed)
            self._end({slot: f"{failure}\n\n{trace}"}, self.runs.step)

    def end_unevaluated(
        self, step: int, diverged: Mapping[int, str], failed: Mapping[int, str]
    ) -> None:
        """End the runs whose policies could not be evaluated as they were after a step.

        Args:
            step: which may be past by now.
            diverged: what was not finite, by seed.
            failed: what is to be said of the environment, by seed.
        """
        reasons = dict(failed)
        reasons |= {seed: f"{what} after step {step}{_DIVERGED}" for seed, what in diverged.items()}
        seeds = self.engine.seeds
        self._end({seeds.index(seed): reason for seed, reason in reasons.items()}, step)

    def write_checkpoints(self, step: int, state_of: Callable[[int], SeedState]) -> None:
        """Save every seed's state after a step, unless that is in the middle of its online ones."""
        if self.spec.steps < step < self.spec.total_steps:
            return
        self.runs.write_checkpoints(step, state_of, self.engine.preprocessing.state())

    def _end(self, reasons: Mapping[int, str], step: int) -> None:
        """End runs as failed after a step, for reasons by slot; the others go on."""
        for slot in sorted(reasons, reverse=True):
            run = self.runs.drop(slot, reasons[slot], step)
            for part in self._parts:
                part.drop(slot)
            print(f"{run.spec.label} seed {run.spec.seed}: {reasons[slot]}", file=sys.stderr)
