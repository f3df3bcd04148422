"""Training that goes on in the task's environment: act, see what happens, learn from it, repeat.

Every seed has an environment of its own. A step of training is one step in each of them, by one
sample of the seed's current policy, followed by one gradient step on a batch of data and of what
the seed has seen itself, mixed as its method has it (`online_sampling`; of finished episodes alone
with `online_returns`). A seed's numbers depend on nothing but the seed, as its resets and its
actions come from streams of its own. No checkpoint is written on the way, since the environments'
states cannot be saved: a run that is interrupted here goes back to its last offline step and lives
through the same episodes again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from algorithms.base import Config
from algorithms.engine.engine import Engine
from algorithms.errors import DivergedError
from algorithms.transitions import Transitions
from harness.errors import EnvironmentFailedError
from harness.rollouts.evaluation import STEP_SECONDS
from harness.rollouts.rollout import Episode, Rollout
from harness.rollouts.time_limit import time_limit
from harness.tasks import make_environment
from harness.tasks.spec import TaskSpec

_ACTING = "noise-1"
_COPIES = 4  # fills registers of 32 numbers for layers of any multiple of 8 units


@dataclass(frozen=True)
class Lived:
    """An episode of training, and the run's step after the gradient step that followed its last."""

    step: int
    episode: Episode


class OnlineTraining:
    """The environments of an engine's seeds, and its training in them.

    Args:
        task: what to interact with.
        engine: its learners, at the end of their offline steps, or of an episode.
        episodes: how many each seed has lived through already.
    """

    def __init__(self, task: TaskSpec, engine: Engine, episodes: int = 0) -> None:
        self._engine = engine
        self._environments = [make_environment(task) for _ in engine.seeds]
        self._rollouts = [self._begin(slot, episodes) for slot in range(len(engine.seeds))]
        self._failed: dict[int, EnvironmentFailedError] = {}  # by seed, until it is dropped

    def train(self, steps: int) -> list[Lived]:
        """Take `steps` steps in every environment; returns the episodes that ended, in order.

        Stops early where a policy has diverged or an environment failed in the step before, before
        anything moves: with what has ended until then, or if that is nothing with DivergedError or
        EnvironmentFailedError.
        """
        lived: list[Lived] = []
        for _ in range(steps):
            try:
                seen = self._interact()
            except (DivergedError, EnvironmentFailedError):
                if lived:
                    break  # the next call raises it
                raise
            self._engine.add(seen)
            self._engine.train(1)
            for slot, rollout in enumerate(self._rollouts):
                if rollout.done:
                    episode = rollout.result()
                    lived.append(Lived(self._engine.step, episode))
                    with self._noting_failure():
                        self._rollouts[slot] = self._begin(slot, episode.episode + 1)
        return lived

    def drop(self, slot: int) -> None:
        """Leave out a seed that the engine has dropped; those after it move up."""
        del self._environments[slot]
        del self._rollouts[slot]
        self._failed = {seed: e for seed, e in self._failed.items() if seed in self._engine.seeds}

    def close(self) -> None:
        for environment in self._environments:
            environment.close()

    def _begin(self, slot: int, episode: int) -> Rollout:
        return Rollout(self._environments[slot], "online", self._engine.seeds[slot], episode)

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        """Let the other seeds have their step before a failure is raised."""
        try:
            with time_limit(STEP_SECONDS):
                yield
        except EnvironmentFailedError as error:
            self._failed[error.seed] = error

    def _interact(self) -> Transitions:
        """Step every environment once."""
        for failure in self._failed.values():
            raise failure
        rollouts = self._rollouts
        observations = np.stack([rollout.observation for rollout in rollouts])
        policy = self._engine.policy(f"online/{self._engine.step}", _ACTING)
        # The last few numbers of a tensor can round unlike the others, as they fill no vector
        # register: with copies there are none, and a seed's bits do not depend on its neighbours.
        actions = policy(np.stack([observations] * _COPIES, axis=1))[:, 0]
        for rollout, action in zip(rollouts, actions, strict=True):
            with self._noting_failure():
                rollout.step(action)
        terminals = np.array([rollout.terminated for rollout in rollouts])
        return Transitions.pack(
            observations=observations,
            actions=actions,
            rewards=np.array([rollout.reward for rollout in rollouts]),
            next_observations=np.stack([rollout.observation for rollout in rollouts]),
            terminals=terminals,
            timeouts=np.array([rollout.done for rollout in rollouts]) & ~terminals,
        )


def make_online_engine(
    algorithm: str, config: Config, replay: Transitions, seed: int, steps: int
) -> Engine:
    """An untrained engine of one seed that has no offline steps, for up to `steps` online ones.

    Data are made with it, and they are to be the same again on the same machine with the same
    torch, however often the training was interrupted: so it leaves this process one thread for
    sums. Another machine may round otherwise, or have no compiler; what its training leads to is
    told by the policies' hashes.

    Args:
        algorithm: its id.
        config: of the algorithm, resolved.
        replay: what the replay buffer starts with.
        seed: of the learner.
        steps: the room in the replay buffer.
    """
    torch.set_num_threads(1)
    return Engine(
        algorithm, config, replay, [seed], offline_steps=0, online_steps=steps, alone=True
    )
