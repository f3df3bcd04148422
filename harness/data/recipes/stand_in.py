"""Stand-in data: uniform random actions in a task's own evaluation environment.

For smoke runs alone: the shapes, rewards, ends and horizons are the task's, the behaviour is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from algorithms.engine.seeding import derive_seed
from harness.data.minari_format import EpisodeArrays
from harness.data.recipe import Origin, Recipe
from harness.tasks.environment import make, make_unwrapped
from harness.tasks.spec import TaskSpec


class StandIn(Recipe):
    """Whole episodes, the last of them passes the number of transitions asked for."""

    makes_small = True

    def episodes(
        self, task: TaskSpec, workers: int | None, progress: Callable[[int], None]
    ) -> Iterator[EpisodeArrays]:
        """One after the other, in this process: a few thousand steps take seconds."""
        transitions = task.dataset.params["transitions"]
        assert isinstance(transitions, int)
        env, done, number = make(task.environment, task.horizon), 0, 0
        while done < transitions:
            episode = _episode(env, derive_seed("data", "stand-in", task.id, number))
            done, number = done + len(episode["actions"]), number + 1
            progress(min(done, transitions))
            yield episode

    def origin(self, task: TaskSpec) -> Origin:
        """For Minari's metadata."""
        return Origin(
            algorithm="uniform random actions",
            text=(
                f"STAND-IN, nobody's dataset: uniform random actions in {task.environment.id}, so "
                "that smoke runs of tasks whose data are not here go through the same code."
            ),
            environment=make_unwrapped(task.environment, task.horizon),
            requirements=("gymnasium", "gymnasium-robotics", "mujoco"),
        )


def _episode(env: Any, seed: int) -> EpisodeArrays:
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed % 2**31)
    observations, actions, rewards = [observation], [], []
    terminated = truncated = False
    while not (terminated or truncated):
        actions.append(rng.uniform(-1.0, 1.0, env.action_space.shape).astype(np.float32))
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        observations.append(observation)
        rewards.append(reward)
    last = np.arange(len(actions)) == len(actions) - 1
    return {
        "observations": np.asarray(observations, np.float32),
        "actions": np.asarray(actions, np.float32),
        "rewards": np.asarray(rewards, np.float64),
        "terminations": last & terminated,
        "truncations": last & (not terminated),
    }


RECIPE = StandIn()
