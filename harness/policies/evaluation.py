"""A run's policy scored again: by the run's own protocol, to the bits it left, or by another."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from harness.execution.engines import selection_of
from harness.policies.policy import Policy
from harness.policies.saved import SavedRun
from harness.rollouts.evaluation import Evaluator, evaluation_stream
from harness.rollouts.rollout import Episode
from harness.tasks import make_environment

if TYPE_CHECKING:
    import gymnasium as gym

Environment = Callable[[], "gym.Env[Any, Any]"]
_CALLS, _SECONDS = 200, 2.0  # the most of a measurement of decisions


@dataclass(frozen=True)
class Evaluated:
    """What a policy has done.

    Attributes:
        action_selection: how it acted.
        episodes: in order.
        stored: the returns of the run's own evaluation, if this was one by its protocol.
    """

    action_selection: str
    episodes: list[Episode]
    stored: list[float] | None

    @property
    def returns(self) -> list[float]:
        """Of every episode, unnormalised."""
        return [episode.episode_return for episode in self.episodes]


def evaluate(
    run: SavedRun,
    *,
    episodes: int | None = None,
    seed: int | None = None,
    action_selection: str | None = None,
    environment: Environment | None = None,
) -> Evaluated:
    """Score a policy over whole episodes.

    Args:
        run: whose policy.
        episodes: how many; None: as many as the run had.
        seed: of resets and noise; None: the run's.
        action_selection: None: the run's own.
        environment: makes one, once an episode; None: the task's.

    Raises UserError for an action selection that the method does not support.
    """
    spec = run.spec
    count = episodes or spec.evaluation.episodes
    key = spec.seed if seed is None else seed
    trained = run.trained
    own = selection_of(spec, trained.algorithm)
    selection = selection_of(spec, trained.algorithm, action_selection)
    evaluator = Evaluator(environment or (lambda: make_environment(spec.task)), [key], count)
    found = evaluator.evaluate_on_stream(
        evaluation_stream(run.step, selection, own),
        lambda stream: trained.policy(trained.noise([key], stream), selection),
    )
    evaluator.close()
    as_stored = (count, key) == (spec.evaluation.episodes, spec.seed)
    stored = _stored_returns(run, selection) if as_stored else None
    return Evaluated(selection, found.episodes, stored)


def decision_milliseconds(policy: Policy) -> float:
    """How long a decision takes for one raw observation, the median of many.

    All of it counts: normalisation, noise, and what the policy remembers, which is full.
    """
    environment = policy.make_environment()
    observation, _ = environment.reset(seed=0)
    environment.close()
    policy.reset()
    begun = time.perf_counter()
    seconds: list[float] = []
    warm = policy.context + 1
    while len(seconds) < warm + _CALLS and (
        len(seconds) < 2 or time.perf_counter() - begun < _SECONDS
    ):
        called = time.perf_counter()
        policy(observation, 0.0)
        seconds.append(time.perf_counter() - called)
    policy.reset()
    return 1000 * median(seconds[min(warm, len(seconds) - 1) :])


def _stored_returns(run: SavedRun, selection: str) -> list[float] | None:
    """What the run wrote of its evaluation at this step; None if there was none."""
    content = run.folder.read_table("evaluations") or b""
    rows = csv.DictReader(io.StringIO(content.decode(errors="replace")))
    found = [
        float(row["return"])
        for row in rows
        if int(row["step"]) == run.step and row["action_selection"] == selection
    ]
    return found or None
