"""How fast a trial goes, in seconds of measuring: every stage of training, and evaluation.

The engine is the one that a run has, at its widths, compiled if that is; only the data are made up.
Seconds are the process's own on a CPU, so that a busy machine does not count, and the clock's where
a GPU does the work.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from pydantic import BaseModel

from algorithms.engine.draws import BLOCK
from algorithms.engine.engine import Engine
from algorithms.transitions import row_width
from harness.bench.acting import full_policy
from harness.bench.products import enter_stage
from harness.bench.synthetic import synthetic_transitions
from harness.execution.engines import make_engine, selection_of
from harness.execution.memory import peak_mb
from harness.rollouts.evaluation import MOST_AT_ONCE, Evaluation, Evaluator
from harness.runs.spec import RunSpec
from harness.tasks import make_environment
from harness.tasks.spec import TaskSpec

_BUDGET = 10**9  # gradient steps, never reached
_CHUNK_SECONDS = 1.0  # of training in a stage, and of evaluation
_WARM_UP = 8  # updates in which everything is compiled
_FEWEST, _MOST = 5, 200  # steps of an evaluation that is timed
_MOST_BYTES, _MOST_ROWS = 1e8, 1_000_000  # of the made-up data
_BESIDE_ROW = 16  # bytes: its return, its reward, its place in the episode


class TrialTimes(BaseModel, frozen=True):
    """What a trial was measured to take.

    Attributes:
        steps_per_second: gradient steps by stage; of all seeds, which take each together.
        evaluation_seconds: of a step of all episodes of all seeds, acting included, by action
            selection, the run's own first.
        interaction_seconds: the same of one episode a seed.
        start_seconds: of imports, the engine, compilation and environments.
        memory_mb: the most that the process took.
        rows: transitions of the data it trained on.
        row_bytes: what one more of them would take.
        state_mb: a seed's checkpoint.
    """

    steps_per_second: list[float]
    evaluation_seconds: dict[str, float]
    interaction_seconds: float
    start_seconds: float
    memory_mb: float
    rows: int
    row_bytes: int
    state_mb: float


def trial_times(spec: RunSpec, seeds: int) -> TrialTimes:
    """Measure a trial of so many seeds of a run, without its online steps.

    Raises UserError if its environment cannot be made.
    """
    watch = _Watch(spec.device)
    environment = make_environment(spec.task)
    assert environment.observation_space.shape
    assert environment.action_space.shape
    dims = (environment.observation_space.shape[0], environment.action_space.shape[0])
    environment.close()
    row_bytes = bytes_of_row(*dims)
    rows = min(_MOST_ROWS, int(_MOST_BYTES / row_bytes))
    endless = spec.model_copy(update={"steps": _BUDGET, "online_steps": 0})
    engine = make_engine(endless, range(seeds), synthetic_transitions(rows, *dims))
    rates = []
    for stage in range(len(engine.algorithm.stages)):
        enter_stage(engine, min(stage, 1))
        rates.append(_training(engine, watch))
    engine.step = engine.total_steps
    episodes = min(spec.evaluation.episodes, MOST_AT_ONCE)
    own = selection_of(spec, engine.algorithm)
    asked = filter(engine.algorithm.supports, spec.evaluation.action_selections)
    single = _evaluation(spec.task, engine, own, 1, _FEWEST, watch)
    steps = min(_MOST, spec.task.horizon, int(_CHUNK_SECONDS / (single * episodes)))
    whole = {
        name: _evaluation(spec.task, engine, name, episodes, steps, watch)
        if steps >= _FEWEST
        else single * episodes  # a planner, of whom a batch is as slow as its parts
        for name in dict.fromkeys([own, *asked])
    }
    return TrialTimes(
        steps_per_second=rates,
        evaluation_seconds=whole,
        interaction_seconds=single,
        start_seconds=watch.elsewhere(),
        memory_mb=peak_mb(),
        rows=rows,
        row_bytes=row_bytes,
        state_mb=sum(array.nbytes for array in engine.state(0).values()) / 1e6,
    )


def bytes_of_row(obs_dim: int, action_dim: int) -> int:
    """What a transition of the data takes in memory, with what is kept beside it."""
    return 4 * row_width(obs_dim, action_dim) + _BESIDE_ROW


def chunk_of(updates: float) -> int:
    """How many updates to take at once, near a number of them.

    Whole blocks, since the noise of a block is drawn at once and every chunk is to bear its part;
    where updates are so slow that a block is too long, drawing does not matter. At least a few, so
    that phases of every other update have their part.
    """
    return BLOCK * round(updates / BLOCK) if updates >= BLOCK else max(4, int(updates / 4) * 4)


class _Watch:
    """Tells what parts of the measuring take, and what the rest of it took."""

    def __init__(self, device: str) -> None:
        self._now = time.perf_counter if device == "cuda" else time.process_time
        self._begun = self._now() if device == "cuda" else 0.0  # of the process
        self._timed = 0.0

    def seconds(self, run: Callable[[], object]) -> float:
        """What `run` takes."""
        start = self._now()
        run()
        taken = self._now() - start
        self._timed += taken
        return taken

    def elsewhere(self) -> float:
        """What all else has taken so far."""
        return self._now() - self._begun - self._timed


def _training(engine: Engine, watch: _Watch) -> float:
    """Gradient steps a second in the stage that trains next."""

    def train(steps: int) -> None:
        engine.train(steps)
        engine.metrics()  # waits for the device

    train(_WARM_UP)
    steps = chunk_of(_CHUNK_SECONDS * _WARM_UP / watch.seconds(lambda: train(_WARM_UP)))
    return steps / watch.seconds(lambda: train(steps))


def _evaluation(
    task: TaskSpec, engine: Engine, selection: str, episodes: int, steps: int, watch: _Watch
) -> float:
    """Seconds of a step of so many episodes of every seed, over that many of them at most."""
    shorter = task.model_copy(update={"horizon": steps})
    evaluator = Evaluator(shorter, engine.seeds, episodes)
    policy = full_policy(engine, selection, episodes)
    found: list[Evaluation] = []
    seconds = watch.seconds(lambda: found.append(evaluator.evaluate(policy)))
    evaluator.close()
    return seconds / max(episode.length for episode in found[0].episodes)
