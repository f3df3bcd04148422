"""Building evaluation environments from their specs (imports gymnasium and, for mazes, MuJoCo)."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from harness.tasks.robotics import light_mazes
from harness.tasks.spec import EnvironmentSpec


class PointState(gym.ObservationWrapper[NDArray[np.float32], Any, dict[str, Any]]):
    """Keeps (x, y, vx, vy) of PointMaze's dict observation, as float32; the goal is left out."""

    def __init__(self, env: gym.Env[dict[str, Any], Any]) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)

    def observation(self, observation: dict[str, Any]) -> NDArray[np.float32]:
        return np.asarray(observation["observation"], np.float32)


_WRAPPERS = {"point-state": PointState}


def make(spec: EnvironmentSpec, horizon: int) -> gym.Env[Any, Any]:
    """The environment of a spec with its time limit (steps) and wrappers."""
    env = make_unwrapped(spec, horizon)
    for name in spec.wrappers:
        env = _WRAPPERS[name](env)
    return env


def make_unwrapped(spec: EnvironmentSpec, horizon: int) -> gym.Env[Any, Any]:
    """The same without our wrappers, as Minari's metadata describes it."""
    with light_mazes():
        return gym.make(spec.id, max_episode_steps=horizon, disable_env_checker=True, **spec.kwargs)
