"""Mixed-quality data: a policy's episodes at three levels of noise, in the task's environment.

Every third episode has the policy's own Gaussian actions, the next extra Gaussian noise, the one
after that a quarter of its actions replaced by uniform ones. Everything random about an episode
comes from its own number: the workers never change a byte, and a small dataset is the start of a
larger one.

The three kinds scored (normalized, at the default sizes) 100, 74 and 28 with the pen, 103, 0 and 4
with the door, 115, 5 and 10 with the hammer, 103, 0 and 0 with relocate: only the pen's policy
survives so much noise halfway, the other data are a third expert and two thirds failures.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from algorithms.seeding import derive_seed
from algorithms.transitions import Transitions
from harness.data.minari_format import EpisodeArrays
from harness.data.parallel import in_order
from harness.data.recipe import Origin, Recipe, whole_episodes
from harness.data.recipes.policy_files import GaussianPolicy, load_policy, policy_file
from harness.tasks.environment import make, make_unwrapped
from harness.tasks.spec import TaskSpec

ACTION_NOISE = 0.6  # standard deviation of the noise that is added to every second episode of three
UNIFORM_SHARE = 0.25  # of the actions of every third one that are uniform in [-1, 1] instead
KINDS = (
    "the policy's own noise",
    f"noise N(0, {ACTION_NOISE}²) added",
    f"{UNIFORM_SHARE:.0%} uniform actions",
)
_SHARD = 12  # episodes that a process makes at a time


class PolicyRollout(Recipe):
    """Whole episodes, as many as fit into the number of transitions asked for."""

    def episodes(
        self, task: TaskSpec, workers: int | None, progress: Callable[[int], None]
    ) -> Iterator[EpisodeArrays]:
        """The three kinds in turn."""
        path, done = policy_file(str(task.dataset.params["policy"])), 0
        transitions = task.dataset.params["transitions"]
        assert isinstance(transitions, int)
        jobs = ((task, path, first) for first in itertools.count(0, _SHARD))
        shards = in_order(roll_out, jobs, workers)
        for episode in whole_episodes(itertools.chain.from_iterable(shards), transitions):
            done += len(episode["actions"])
            progress(done)
            yield episode

    def constants(self, task: TaskSpec) -> dict[str, JsonValue]:
        """The numbers that are fixed in this file, and which policy it was."""
        content = policy_file(str(task.dataset.params["policy"])).read_bytes()
        return {
            "action_noise": ACTION_NOISE,
            "uniform_share": UNIFORM_SHARE,
            "policy_sha256": hashlib.sha256(content).hexdigest(),
        }

    def origin(self, task: TaskSpec) -> Origin:
        """For Minari's metadata."""
        params = task.dataset.params
        return Origin(
            algorithm=f"{params['policy']}, three levels of noise",
            text=(
                "LOCAL, not a download of a public dataset: stochastic rollouts of the policy "
                f"{params['policy']} in {task.environment.id}, at most {params['transitions']} "
                f"steps in whole episodes, seed {params['seed']}. Episode by episode in turn: "
                f"{'; '.join(KINDS)}. Rewards and terminations are the evaluation task's: "
                f"{task.environment.semantics}"
            ),
            environment=make_unwrapped(task.environment, task.horizon),
            requirements=("gymnasium-robotics", "mujoco"),
        )

    def details(self, task: TaskSpec, data: Transitions) -> str:
        """The behaviour's normalized score, by kind of episode."""
        ends = data.episode_ends()
        starts = np.concatenate([[0], ends[:-1]])
        returns = np.add.reduceat(data.rewards.astype(np.float64), starts)
        scores = [task.normalized_score(value) for value in returns.tolist()]
        lines = [f"normalized score of the behaviour: {_mean_and_error(scores)}"]
        lines += [f"  {kind}: {_mean_and_error(scores[i::3])}" for i, kind in enumerate(KINDS)]
        return "\n".join(lines)


def roll_out(task: TaskSpec, path: Path, first: int) -> list[EpisodeArrays]:
    """One shard: the episodes from number `first` on."""
    # Without the last wrapper: observations keep the environment's float64.
    raw = task.environment.model_copy(update={"wrappers": task.environment.wrappers[:-1]})
    assert task.environment.wrappers[-1] == "float32"
    env, policy = make(raw, task.horizon), load_policy(path)
    return [_episode(task, env, policy, number) for number in range(first, first + _SHARD)]


def _episode(task: TaskSpec, env: Any, policy: GaussianPolicy, number: int) -> EpisodeArrays:
    name, seed = str(task.dataset.params["policy"]), task.dataset.params["seed"]
    assert isinstance(seed, int)
    stream = ("data", "policy-rollout", name, seed, number)
    rng = np.random.default_rng(derive_seed(*stream, "actions"))
    observation, _ = env.reset(seed=derive_seed(*stream, "reset") % 2**31)
    observations, actions, rewards, successes = [observation], [], [], []
    terminated = truncated = False
    while not (terminated or truncated):
        actions.append(_act(policy, observation, number % 3, rng))
        observation, reward, terminated, truncated, info = env.step(actions[-1])
        observations.append(observation)
        rewards.append(reward)
        successes.append("success" in info and info["success"])
    last = np.arange(len(actions)) == len(actions) - 1
    return {
        "observations": np.asarray(observations, np.float64),
        "actions": np.asarray(actions, np.float32),
        "rewards": np.asarray(rewards, np.float64),
        "terminations": last & terminated,
        "truncations": last & (not terminated),
        "infos/success": np.asarray([False, *successes], np.bool_),
    }


def _act(
    policy: GaussianPolicy, observation: NDArray[np.float64], kind: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    action = policy.sample(observation, rng)
    if kind == 1:
        action = action + ACTION_NOISE * rng.standard_normal(len(action))
    if kind == 2 and rng.random() < UNIFORM_SHARE:
        action = rng.uniform(-1.0, 1.0, len(action))
    return np.clip(action, -1.0, 1.0).astype(np.float32)


def _mean_and_error(scores: list[float]) -> str:
    error = np.std(scores, ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else np.nan
    return f"{np.mean(scores):.1f} ± {error:.1f} (standard error, {len(scores)} episodes)"


RECIPE = PolicyRollout()
