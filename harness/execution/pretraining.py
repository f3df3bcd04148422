"""Pretraining that runs share: equal first stages of different methods are trained once.

A run that starts from here leaves the same numbers as one that pretrains for itself. The files may
be deleted at any time; what is missing is trained again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from algorithms import registry
from algorithms.engine.pretraining import own_code, set_up
from harness.files import short_digest
from harness.runs.checkpoint import Checkpoint
from harness.runs.folder import RunFolder
from harness.runs.spec import RunSpec
from harness.runs.trial import Trial

if TYPE_CHECKING:
    from algorithms.base import Algorithm
    from algorithms.engine.engine import Engine
    from algorithms.engine.learning_state import SeedState

FOLDER = "pretrained"
_POLL_SECONDS = 1.0
_DECISIVE = {"task", "dataset_sha256", "steps", "precision", "compiled", "device", "engine_version"}


def pretraining_key(spec: RunSpec) -> str | None:
    """Equal for runs, seeds aside, that promise the same pretraining; None for methods without."""
    cls = registry.load(spec.algorithm)
    model = cls.Pretraining
    if model is None:
        return None
    config = {name: value for name, value in spec.config.items() if name in model.model_fields}
    decisive = spec.model_dump(mode="json", include=_DECISIVE)
    return short_digest({**decisive, "config": config, "code": own_code(_defining(cls))})


def _defining(cls: type[Algorithm[Any]]) -> set[str]:
    """The modules that define what belongs to a class's pretraining, or define it anew."""
    promising = [base for base in cls.__mro__ if vars(base).get("Pretraining")]
    names = {name for base in promising for name in vars(base) if not name.startswith("__")}
    names.discard("_abc_impl")  # every class has one of its own
    owners = (next(base for base in cls.__mro__ if name in vars(base)) for name in names)
    return {owner.__module__ for owner in owners}


class SharedPretraining:
    """The pretrained states of a trial's seeds: there already, or this trial's to make.

    Args:
        results: the folder of all suites' results.
        spec: any run of the trial.
        seeds: of the trial.
        engine: that trains them.
    """

    def __init__(self, results: Path, spec: RunSpec, seeds: Sequence[int], engine: Engine) -> None:
        self.steps = engine.pretraining_steps
        key = short_digest([pretraining_key(spec), set_up(engine.algorithm)])
        self._owner = f"{key}-{self.steps}"
        folder = results / FOLDER / self._owner
        self.folders = [RunFolder(folder / f"seed-{seed}") for seed in seeds]
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / ".lock", thread_local=False)

    def wait(self, stop: Callable[[], bool], at_wait: Callable[[], None]) -> bool:
        """Whether the states are there, after waiting for another trial that is making them.

        False means that this trial is to make them, and holds the lock until `release`. `at_wait`
        is called as long as there is another.
        """
        while not self._exists() and not stop():
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                at_wait()
                time.sleep(_POLL_SECONDS)
                continue
            if not self._exists():
                return False
            self.release()
        return self._exists()

    def states(self) -> list[SeedState]:
        """The pretrained state of every seed, once `wait` has said that they are there."""
        return [checkpoint.state for checkpoint in self._checkpoints() if checkpoint is not None]

    def drop(self, slot: int) -> None:
        """Leave nothing of a seed that has diverged; those after it move up."""
        del self.folders[slot]

    def leave(self, states: Iterable[SeedState], seconds: Mapping[str, float]) -> None:
        """Save the states for others, one for each seed, with the seconds spent on them."""
        for folder, state in zip(self.folders, states, strict=True):
            folder.write_checkpoint(Checkpoint(self._owner, self.steps, state, {}), seconds)

    def release(self) -> None:
        """Let other trials go on, whether or not the states were made."""
        self._lock.release()

    def _exists(self) -> bool:
        found = self._checkpoints()
        return all(known is not None and known.step == self.steps for known in found)

    def _checkpoints(self) -> list[Checkpoint | None]:
        """A damaged one counts as none, and so is made anew."""
        return [folder.read_checkpoint(self._owner)[0] for folder in self.folders]


def pretrainers_first(trials: Iterable[Trial]) -> list[Trial]:
    """The trials in an order in which few wait: who pretrains first, who profits last."""
    keys: dict[str, str | None] = {}  # by cell, since a cell has many trials
    seen: set[tuple[str, tuple[int, ...]]] = set()
    ranked: list[tuple[int, Trial]] = []
    for trial in trials:
        first = trial.specs[0]
        if first.cell not in keys:
            keys[first.cell] = pretraining_key(first)
        key = keys[first.cell]
        seeds = tuple(spec.seed for spec in trial.specs)
        if key is None:
            ranked.append((1, trial))
        else:
            ranked.append((2 if (key, seeds) in seen else 0, trial))
            seen.add((key, seeds))
    return [trial for _, trial in sorted(ranked, key=lambda pair: pair[0])]
