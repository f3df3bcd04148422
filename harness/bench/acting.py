"""How long a method takes to act, under every action selection that it supports.

Its ways take turns, a few calls each, so that a slow minute is slow for all of them. Policies are
those of evaluation: they are never compiled, and act for a stack of seeds and episodes at once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from algorithms import registry
from algorithms.base import History, Networks, Noise
from algorithms.engine.engine import Engine
from harness.bench.products import record_products
from harness.bench.rotation import ROUNDS
from harness.bench.synthetic import synthetic_transitions
from harness.docs.acting import ActingTime
from harness.rollouts.evaluation import Policy

OBS_DIM, ACTION_DIM = 45, 24  # Adroit pen's shapes
SEEDS, EPISODES = 5, 20  # of a batch
_SELECTIONS = ("noise-0", "noise-1", "best-of-32")  # beside a method's own
_STEPS_FIELDS = ("flow_steps", "diffusion_steps")
_ROWS = 2048  # of the data, which nothing is learned from
_STEPS = 100  # of training, which are not taken
_STREAM = "bench"
_TURN_SECONDS = 0.01
_MOST_SECONDS = 0.4  # of all turns of one policy
_SLOW_SECONDS = 1.0  # of a single decision


@dataclass
class Turns:
    """A policy that acts on the same observations again and again, a turn of a few calls at a time.

    Attributes:
        first: seconds of the call that says how many more there can be.
        calls: of a turn.
        rounds: how many turns there are to be; 0: the first call is all there is.
        seconds: of a call, by turn.
    """

    policy: Policy
    seeds: int
    episodes: int
    first: float = field(init=False)
    calls: int = field(init=False)
    rounds: int = field(init=False)
    seconds: list[float] = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        shape = (self.seeds, self.episodes)
        self._observations = rng.standard_normal((*shape, OBS_DIM), dtype=np.float32)
        self._rewards = np.zeros(shape, np.float32)
        self.first = self._call(1)
        if self.first < _MOST_SECONDS:  # short enough for what only a first call does to matter
            self.first = self._call(1)
        self.calls = max(1, int(_TURN_SECONDS / self.first))
        self.rounds = min(ROUNDS, int(_MOST_SECONDS / (self.calls * self.first)))
        self.seconds = [] if self.rounds else [self.first]

    def take(self) -> None:
        """One turn."""
        self.seconds.append(self._call(self.calls))

    @property
    def milliseconds(self) -> float:
        """Of a decision, the median."""
        return 1000 * statistics.median(self.seconds) / (self.seeds * self.episodes)

    def _call(self, times: int) -> float:
        """Seconds of a call."""
        start = time.process_time()
        for _ in range(times):
            self.policy(self._observations, self._rewards)
        return (time.process_time() - start) / times


def acting_times(algorithm_id: str) -> list[ActingTime]:
    """Every way in which a method acts, its default first, each by rising sampling steps.

    Of a method whose single decision takes long that decision is all there is: by its default, with
    the configured sampling steps, in no batch.
    """
    algorithm = _engine(algorithm_id, 1, {}).algorithm
    default, steps_field = algorithm.action_selection, _steps_field(algorithm_id)
    configured = getattr(algorithm.config, steps_field) if steps_field else None
    first = _turns(algorithm_id, default, {}, 1, 1)
    slow = first.first > _SLOW_SECONDS
    others = [name for name in _SELECTIONS if algorithm.supports(name) and not slow]
    selections = list(dict.fromkeys([default, *others]))
    tried = [configured] if slow else _around(configured)

    def turns(seeds: int, episodes: int) -> dict[tuple[str, int | None], Turns]:
        return {
            (selection, steps): first
            if (selection, steps, seeds) == (default, configured, 1)
            else _turns(algorithm_id, selection, _setting(steps_field, steps), seeds, episodes)
            for selection in selections
            for steps in tried
        }

    singles, batches = turns(1, 1), {} if slow else turns(SEEDS, EPISODES)
    take_turns([*singles.values(), *batches.values()])
    return [
        ActingTime(
            method=algorithm_id,
            selection=selection,
            default=selection == default,
            steps_field=steps_field,
            steps=steps,
            single_ms=single.milliseconds,
            single_rounds=len(single.seconds),
            batched_ms=None if batch is None else batch.milliseconds,
            batched_rounds=0 if batch is None else len(batch.seconds),
        )
        for (selection, steps), single in singles.items()
        for batch in [batches.get((selection, steps))]
    ]


def take_turns(turns: Sequence[Turns]) -> None:
    """Round after round, one turn of each that has any left."""
    for number in range(ROUNDS):
        for one in turns:
            if number < one.rounds:
                one.take()


def _around(steps: int | None) -> list[int | None]:
    """So many sampling steps, half and twice as many, in order."""
    if steps is None:
        return [None]
    return [*sorted({max(1, steps // 2), steps, 2 * steps})]


def _setting(name: str | None, value: int | None) -> dict[str, Any]:
    return {} if name is None else {name: value}


def _steps_field(algorithm_id: str) -> str | None:
    """The field of its sampling steps; None without one, or if it acts alike whatever they are."""
    method = registry.load(algorithm_id)
    for name in _STEPS_FIELDS:
        if name in method.Config.model_fields:
            few, more = (_products(algorithm_id, {**method.cheap, name: n}) for n in (2, 4))
            return name if more > few else None
    return None


def _products(algorithm_id: str, settings: Mapping[str, Any]) -> int:
    """How many matrix products a decision takes."""
    engine = _engine(algorithm_id, 1, settings)
    observations = np.zeros((1, 1, OBS_DIM), np.float32)
    return record_products(lambda: engine.policy(_STREAM)(observations)).total()


def _turns(
    algorithm_id: str, selection: str, settings: Mapping[str, Any], seeds: int, episodes: int
) -> Turns:
    engine = _engine(algorithm_id, seeds, settings)
    return Turns(full_policy(engine, selection, episodes), seeds, episodes)


def _engine(algorithm_id: str, seeds: int, settings: Mapping[str, Any]) -> Engine:
    """Untrained, but acting as at the end of training."""
    engine = Engine(
        algorithm_id,
        registry.resolve_config(algorithm_id, settings),
        synthetic_transitions(_ROWS, OBS_DIM, ACTION_DIM),
        range(seeds),
        offline_steps=_STEPS,
        compile=False,  # of updates, which there are none of
    )
    engine.step = engine.total_steps
    return engine


def full_policy(engine: Engine, selection: str, episodes: int) -> Policy:
    """The engine's policy, in the middle of episodes: what it remembers is full.

    It has idled so far, as planners would take minutes to get there.
    """
    algorithm, idling = engine.algorithm, bool(engine.algorithm.context)
    act = algorithm.act

    def act_or_idle(nets: Networks, history: History, noise: Noise) -> Tensor:
        return history.actions[:, :, -1] if idling else act(nets, history, noise)

    if idling:
        vars(algorithm)["act"] = act_or_idle
    policy = engine.policy(_STREAM, selection)
    observations = np.zeros((len(engine.seeds), episodes, algorithm.obs_dim), np.float32)
    for _ in range(algorithm.context):
        policy(observations, np.zeros(observations.shape[:2], np.float32))
    idling = False
    return policy
