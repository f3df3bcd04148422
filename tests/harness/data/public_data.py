"""Small datasets made as Minari made its public ones, in their own environments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from harness.data import minari_format
from harness.tasks.environment import make_unwrapped
from harness.tasks.spec import EnvironmentSpec

Episodes = list[dict[str, Any]]


def leave(
    root: Path, dataset_id: str, env: gym.Env[Any, Any], episodes: Episodes, **changes: Any
) -> None:
    """Write a dataset into a Minari root; `changes` replace entries of its metadata."""
    folder = root / dataset_id / "data"
    summary = minari_format.write(folder, episodes)
    assert env.spec is not None
    # As gymnasium 0.29 wrote it, which today's rejects.
    spec = json.loads(env.spec.to_json()) | {"autoreset": False, "apply_api_compatibility": False}
    metadata = {
        "dataset_id": dataset_id,
        "minari_version": "0.4.3",
        "data_format": "hdf5",
        "dataset_size": summary["bytes"] / 1e6,
        "env_spec": json.dumps(spec),
        "algorithm_name": "test",
        "description": "Numbers.",
    }
    (folder / "metadata.json").write_text(json.dumps(metadata | changes))


def play(steps: int) -> tuple[gym.Env[Any, Any], Episodes]:
    """PointMaze as Minari recorded it: a new goal at every goal reached, which ends the episode."""
    env = _made("PointMaze_OpenDense-v3", 10**6, continuing_task=True, reset_target=True)
    rng = np.random.default_rng(0)
    observation, _ = env.reset(seed=4)
    episodes, current = [], _Episode(observation)
    goal = observation["desired_goal"]
    for _ in range(steps):
        state = observation["observation"]
        push = 5 * (goal - state[:2]) - 2 * state[2:] + 0.5 * rng.standard_normal(2)
        action = np.clip(push, -1, 1).astype(np.float32)
        observation, reward, _, _, info = env.step(action)
        goal = env.unwrapped.goal.copy()  # type: ignore[attr-defined]  # of the next step
        current.add(observation, action, reward)
        if info["success"]:
            episodes.append(current.arrays())
            # Minari goes on with the same observation, whose goal is the one just reached.
            current = _Episode(observation)
    return env, episodes


def door(count: int) -> tuple[gym.Env[Any, Any], Episodes]:
    """Episodes of smooth noise before the door, rewards as gymnasium-robotics pays them."""
    env, rng = _made("AdroitHandDoor-v1", 200), np.random.default_rng(3)
    episodes = []
    for seed in range(count):
        observation, truncated = env.reset(seed=seed)[0], False
        current, action = _Episode(observation), np.zeros(28)
        while not truncated:
            action = 0.9 * action + 0.3 * rng.normal(size=28)
            clipped = np.clip(action, -1, 1).astype(np.float32)
            observation, reward, _, truncated, _ = env.step(clipped)
            current.add(observation, clipped, reward)
        episodes.append(current.arrays())
    return env, episodes


class _Episode:
    """What is recorded of one."""

    def __init__(self, observation: Any) -> None:
        self._observations, self._actions, self._rewards = [observation], [], []  # type: ignore[var-annotated]

    def add(self, observation: Any, action: Any, reward: Any) -> None:
        self._observations.append(observation)
        self._actions.append(action)
        self._rewards.append(reward)

    def arrays(self) -> dict[str, Any]:
        """By their names in a file; the episode ends with a truncation."""
        steps = len(self._actions)
        first = self._observations[0]
        observations = (
            {
                f"observations/{key}": np.array([row[key] for row in self._observations])
                for key in first
            }
            if isinstance(first, dict)
            else {"observations": np.array(self._observations)}
        )
        return observations | {
            "actions": np.array(self._actions),
            "rewards": np.array(self._rewards, np.float64),
            "terminations": np.zeros(steps, np.bool_),
            "truncations": np.arange(steps) == steps - 1,
        }


def _made(name: str, horizon: int, **kwargs: Any) -> gym.Env[Any, Any]:
    spec = EnvironmentSpec(id=name, kwargs=kwargs, wrappers=(), semantics=())
    return make_unwrapped(spec, horizon)
