"""Scoring policies: many seeds and episodes in lock step, each environment's first episode only."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np

from harness.rollouts.rollout import Episode, Floats, Rollout
from harness.rollouts.time_limit import time_limit
from harness.tasks import make_environment
from harness.tasks.maze_floor import MazeFloor
from harness.tasks.spec import TaskSpec

PATHS = 3  # episodes of a seed whose way through a maze is kept
SQUARES = 4  # along a cell's side, of which values are kept
_DECISIONS = 100  # at most, in the measurement of one; fewer if they take over a second
_DECISION_SECONDS = 1.0
MOST_AT_ONCE = 250  # episodes per seed; changes the noise, and so the numbers, of those beyond it
STEP_SECONDS = 600.0  # the most for one step, or reset, of all environments together
# (observations [S, E, obs_dim], rewards of the step before [S, E]) -> actions [S, E, action_dim]
Policy = Callable[[Floats, Floats], Floats]


@dataclass(frozen=True)
class Evaluation:
    """All episodes, seed after seed.

    Attributes:
        episodes: `S * E` of them.
        amortized_action_ms: milliseconds per action: the median call of the policy divided by the
            `S * E` actions it computes at once.
        seconds: wall time of the whole evaluation.
    """

    episodes: list[Episode]
    amortized_action_ms: float
    seconds: float


class Evaluator:
    """Evaluates a stack of `S` seeds on `E` episodes each; its environments are built once.

    Episode `e` of seed `s` always starts from the same reset, whatever else is in the batch. Many
    episodes come in waves of `MOST_AT_ONCE` for each seed, as every environment takes memory.

    Args:
        task: what to be scored in, or a function that makes one environment.
        seeds: of the runs in the stack, in its order.
        episodes: per seed.
    """

    def __init__(
        self,
        task: TaskSpec | Callable[[], gym.Env[Any, Any]],
        seeds: Sequence[int],
        episodes: int,
    ) -> None:
        self._seeds = tuple(seeds)
        self._episodes = episodes
        self._floor = MazeFloor.of(task) if isinstance(task, TaskSpec) else None
        self._environments = [
            make_environment(task) if isinstance(task, TaskSpec) else task()
            for _ in range(len(seeds) * min(episodes, MOST_AT_ONCE))
        ]

    def drop(self, slot: int) -> None:
        """Evaluate that seed no more; those after it move up.

        Its environments are not used again, as one of them may be what has failed, nor closed.
        """
        each = len(self._environments) // len(self._seeds)
        del self._environments[slot * each : (slot + 1) * each]
        self._seeds = self._seeds[:slot] + self._seeds[slot + 1 :]

    def evaluate(
        self, policy: Policy, in_wave: Callable[[int], Policy] | None = None
    ) -> Evaluation:
        """Run every episode to its end.

        Args:
            policy: acts in the first wave.
            in_wave: what acts in the waves after it, from 1, where that is not the same: how often
                a seed's noise was drawn in a wave depends on its neighbours.

        Raises:
            RuntimeError: if the policy's actions have the wrong shape or are not finite.
            EnvironmentFailedError: for an environment that raises, hangs, or gives a reward or an
                observation that is not finite.
        """
        begun = time.perf_counter()
        calls: list[float] = []  # milliseconds per action
        found: list[Episode] = []
        for start in range(0, self._episodes, MOST_AT_ONCE):
            wave = range(start, min(start + MOST_AT_ONCE, self._episodes))
            acting = in_wave(start // MOST_AT_ONCE) if in_wave and start else policy
            found += self._wave(acting, wave, calls)
        return Evaluation(
            episodes=sorted(found, key=lambda e: (self._seeds.index(e.seed), e.episode)),
            amortized_action_ms=median(calls),
            seconds=time.perf_counter() - begun,
        )

    def evaluate_on_stream(self, stream: str, policy: Callable[[str], Policy]) -> Evaluation:
        """The same with noise from a stream, and from one of its own for every later wave.

        policy: acts with the noise of the stream it is given, from its beginning.
        """
        return self.evaluate(policy(stream), lambda wave: policy(f"{stream}/wave-{wave}"))

    def _wave(self, policy: Policy, episodes: range, calls: list[float]) -> list[Episode]:
        """Run these episodes of every seed in lock step; adds to `calls` how long actions took."""
        shape = (len(self._seeds), len(episodes))
        keys = [(seed, episode) for seed in self._seeds for episode in episodes]
        with time_limit(STEP_SECONDS):
            rollouts = [
                Rollout(
                    environment,
                    "evaluation",
                    *key,
                    self._floor if key[1] < PATHS else None,
                    checks_observations=False,
                )
                for environment, key in zip(self._environments, keys, strict=False)
            ]
        running = rollouts
        observations = np.stack([rollout.observation for rollout in rollouts])
        _refuse_not_finite(rollouts, observations)
        while running:
            called = time.perf_counter()
            rewards = np.array([rollout.reward for rollout in rollouts], np.float32)
            actions = policy(observations.reshape(*shape, -1), rewards.reshape(shape))
            calls.append(1000.0 * (time.perf_counter() - called) / len(rollouts))
            if actions.shape[:2] != shape or actions.ndim != 3:
                raise RuntimeError(
                    f"the policy returned actions of shape {list(actions.shape)}, expected "
                    f"{[*shape, 'action_dim']}"
                )
            with time_limit(STEP_SECONDS):
                for row, action in enumerate(actions.reshape(len(rollouts), -1)):
                    if not rollouts[row].done:
                        rollouts[row].step(action)
                        observations[row] = rollouts[row].observation
            _refuse_not_finite(rollouts, observations)
            running = [rollout for rollout in running if not rollout.done]
        return [rollout.result() for rollout in rollouts]

    def rest(self) -> tuple[Floats, Floats] | None:
        """Places all over a maze, [N, 2], and observations of a point at rest there, [S, N, 4].

        None for tasks without a maze, or with more in their observations.
        """
        if self._floor is None or not self._floor.is_all_seen:
            return None
        places, observations = self._floor.at_rest(SQUARES)
        return places, np.repeat(observations[None], len(self._seeds), 0)

    def decision_ms(self, policy: Policy) -> float:
        """Milliseconds of a single decision: the median of calls along the first seed's episodes.

        policy: of that seed alone; its first call, which does more, is left out.
        """
        calls: list[float] = []
        begun = time.perf_counter()
        with time_limit(STEP_SECONDS):
            rollout = Rollout(self._environments[0], "evaluation", self._seeds[0], 0)
        while not rollout.done and len(calls) <= _DECISIONS:
            called = time.perf_counter()
            actions = policy(rollout.observation[None, None], np.full((1, 1), rollout.reward))
            calls.append(1000.0 * (time.perf_counter() - called))
            with time_limit(STEP_SECONDS):
                rollout.step(actions[0, 0])
            if time.perf_counter() - begun > _DECISION_SECONDS:
                break
        return median(calls[1:] or calls)

    def close(self) -> None:
        for environment in self._environments:
            environment.close()


def evaluation_stream(step: int, selection: str, own: str) -> str:
    """The name of the noise that an evaluation draws.

    Args:
        step: of the run.
        selection: how its policy acts.
        own: the run's own action selection.
    """
    return f"evaluation/{step}" + ("" if selection == own else f"/{selection}")


def _refuse_not_finite(rollouts: Sequence[Rollout], observations: Floats) -> None:
    """Raises EnvironmentFailedError for an environment whose observation, of [R, obs_dim], is not.

    At once for all of them, as that takes as long as for one.
    """
    if not np.isfinite(observations).all():
        for rollout in rollouts:
            rollout.refuse_not_finite()
