"""A policy's episodes in the task's environment: as it acts, or at three levels of noise.

The three, for mixed quality: every third episode has the policy's own Gaussian actions, the next
extra Gaussian noise, the one after that a quarter of its actions replaced by uniform ones.
Everything random about an episode comes from its own number: the workers never change a byte, and a
small dataset is the start of a larger one.

The three kinds scored (normalized, at the default sizes) 100, 74 and 28 with the pen, 103, 0 and 4
with the door, 115, 5 and 10 with the hammer, 103, 0 and 0 with relocate: only the pen's policy
survives so much noise halfway, the other data are a third expert and two thirds failures.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from algorithms.engine.seeding import derive_seed
from algorithms.transitions import Transitions
from harness.data.minari_format import EpisodeArrays
from harness.data.parallel import in_order
from harness.data.recipe import Origin, Recipe, whole_episodes
from harness.data.recipes.kept_policies import kept_policy
from harness.data.recipes.policy_files import GaussianPolicy, load_policy, policy_file
from harness.data.sources.download_lock import SourceFile
from harness.data.sources.public_policies import fetch_policies
from harness.errors import UserError
from harness.tasks import words
from harness.tasks.environment import make, make_unwrapped
from harness.tasks.spec import TaskSpec

ACTION_NOISE = 0.6  # standard deviation of the noise that is added to every second episode of three
UNIFORM_SHARE = 0.25  # of the actions of every third one that are uniform in [-1, 1] instead
KINDS = {
    "stochastic": "the policy's own noise",
    "noisy": f"noise N(0, {ACTION_NOISE}²) added",
    "uniform": f"{UNIFORM_SHARE:.0%} uniform actions",
    "deterministic": "the policy's mean",
}
MIXED = ("stochastic", "noisy", "uniform")
_SHARD = 12  # episodes that a process makes at a time


@dataclass(frozen=True)
class Behavior:
    """All that an episode depends on but its number.

    Attributes:
        task: whose environment is acted in.
        policy: the policy's file.
        name: of the policy; with `seed` it names the streams of random numbers.
        seed: of the dataset.
        kinds: of `KINDS`; the episodes have them in turn.
    """

    task: TaskSpec
    policy: Path
    name: str
    seed: int
    kinds: tuple[str, ...]

    def episodes(self, transitions: int, workers: int | None) -> Iterator[EpisodeArrays]:
        """As many whole episodes as fit into so many transitions."""
        jobs = ((self, first) for first in itertools.count(0, _SHARD))
        shards = in_order(roll_out, jobs, workers)
        return whole_episodes(itertools.chain.from_iterable(shards), transitions)


class PolicyRollout(Recipe):
    """Whole episodes, as many as fit into the number of transitions asked for."""

    def sources(self, task: TaskSpec) -> list[SourceFile]:
        """The policy's file."""
        # A policy that `--policy` named may be called as a local one is.
        file, whose = _file(task), "local" if task.dataset.adds_noise else "rollout"
        return [SourceFile(f"{whose}/{file.name}", file, f"found in {file.parent}")]

    def episodes(
        self, task: TaskSpec, workers: int | None, progress: Callable[[int], None]
    ) -> Iterator[EpisodeArrays]:
        """The task's kinds in turn."""
        params, done = task.dataset.params, 0
        transitions, seed = params["transitions"], params["seed"]
        assert isinstance(transitions, int)
        assert isinstance(seed, int)
        behavior = Behavior(task, _file(task), str(params["policy"]), seed, _kinds(task))
        for episode in behavior.episodes(transitions, workers):
            done += len(episode["actions"])
            progress(done)
            yield episode

    def constants(self, task: TaskSpec) -> dict[str, JsonValue]:
        """The numbers that are fixed in this file, where they count."""
        noise: dict[str, JsonValue] = {"action_noise": ACTION_NOISE, "uniform_share": UNIFORM_SHARE}
        return noise if _kinds(task) == MIXED else {}

    def origin(self, task: TaskSpec) -> Origin:
        """For Minari's metadata."""
        params, kinds = task.dataset.params, _kinds(task)
        turns = "; ".join(KINDS[kind] for kind in kinds)
        sees_time = load_policy(_file(task)).sees_time
        return Origin(
            algorithm=f"{params['policy']}, "
            + ("three levels of noise" if kinds == MIXED else KINDS[kinds[0]]),
            text=(
                "LOCAL, not a download of a public dataset: rollouts of the policy "
                f"{params['policy']} in {task.environment.id}, at most {params['transitions']} "
                f"steps in whole episodes, seed {params['seed']}. "
                + (f"Episode by episode in turn: {turns}. " if kinds == MIXED else f"{turns}. ")
                + ("The policy also sees the time, which the data do not hold. " * sees_time)
                + "Rewards and terminations are the evaluation task's: "
                + words.semantics(task)
            ),
            environment=make_unwrapped(task.environment, task.horizon),
            requirements=("gymnasium-robotics", "mujoco"),
        )

    def missing(self, task: TaskSpec) -> list[str]:
        """The policy, if it is not on this machine."""
        try:
            _file(task)
        except UserError as error:
            return [str(error)]
        return []

    def fetch(self, task: TaskSpec, progress: Callable[[str, int, int], None]) -> list[str]:
        """The policy of mixed data, which is public. Raises UserError if it cannot be had."""
        if not task.dataset.adds_noise:
            return super().fetch(task, progress)
        return fetch_policies(progress, [str(task.dataset.params["policy"])])

    def details(self, task: TaskSpec, data: Transitions) -> str:
        """The behaviour's normalized score, by kind of episode."""
        scores, kinds = episode_scores(task, data), _kinds(task)
        lines = [f"normalized score of the behaviour: {mean_and_error(scores)}"]
        for index, kind in enumerate(kinds):
            lines.append(f"  {KINDS[kind]}: {mean_and_error(scores[index :: len(kinds)])}")
        return "\n".join(lines)


def roll_out(behavior: Behavior, first: int) -> list[EpisodeArrays]:
    """One shard: the episodes from number `first` on."""
    task = behavior.task
    # Without the last wrapper: observations keep the environment's float64.
    raw = task.environment.model_copy(update={"wrappers": task.environment.wrappers[:-1]})
    assert task.environment.wrappers[-1] == "float32"
    env, policy = make(raw, task.horizon), load_policy(behavior.policy)
    return [_episode(behavior, env, policy, number) for number in range(first, first + _SHARD)]


def episode_scores(task: TaskSpec, data: Transitions) -> list[float]:
    """The normalized score of every episode's recorded return, in points."""
    starts = np.concatenate([[0], data.episode_ends()[:-1]])
    returns = np.add.reduceat(data.rewards.astype(np.float64), starts)
    return [task.normalized_score(value) for value in returns.tolist()]


def mean_and_error(scores: list[float]) -> str:
    """Mean, its standard error and the number of episodes, in words."""
    error = np.std(scores, ddof=1) / np.sqrt(len(scores)) if len(scores) > 1 else np.nan
    return f"{np.mean(scores):.1f} ± {error:.1f} (standard error, {len(scores)} episodes)"


def _episode(behavior: Behavior, env: Any, policy: GaussianPolicy, number: int) -> EpisodeArrays:
    stream = ("data", "policy-rollout", behavior.name, behavior.seed, number)
    kind = behavior.kinds[number % len(behavior.kinds)]
    rng = np.random.default_rng(derive_seed(*stream, "actions"))
    observation, _ = env.reset(seed=derive_seed(*stream, "reset") % 2**31)
    observations, rewards, successes = [observation], [], []
    actions: list[NDArray[np.float32]] = []
    terminated = truncated = False
    while not (terminated or truncated):
        actions.append(_act(policy, observation, len(actions), kind, rng))
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
    policy: GaussianPolicy,
    observation: NDArray[np.float64],
    step: int,
    kind: str,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    if kind == "deterministic":
        action = policy.mean(observation, step)
    else:
        action = policy.sample(observation, rng, step)
    if kind == "noisy":
        action = action + ACTION_NOISE * rng.standard_normal(len(action))
    if kind == "uniform" and rng.random() < UNIFORM_SHARE:
        action = rng.uniform(-1.0, 1.0, len(action))
    return np.clip(action, -1.0, 1.0).astype(np.float32)


def _kinds(task: TaskSpec) -> tuple[str, ...]:
    """All of mixed datasets, one of rollouts of a user's policy."""
    return MIXED if task.dataset.adds_noise else (str(task.dataset.params["actions"]),)


def _file(task: TaskSpec) -> Path:
    name = str(task.dataset.params["policy"])
    return policy_file(name) if task.dataset.adds_noise else kept_policy(name)


RECIPE = PolicyRollout()
