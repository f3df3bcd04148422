"""Wrappers that give today's Adroit and MuJoCo environments D4RL's rewards and terminations."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.tasks.d4rl_rules import distance_correction, healthy_correction, pen_dropped

_HELD = 25  # steps at the goal that a success takes more than, as in D4RL (its pen: 20)
Step = tuple[Any, float, bool, bool, dict[str, Any]]


class _Wrapper(gym.Wrapper[NDArray[Any], Any, NDArray[Any], Any]):
    """Typed for environments with flat observations."""


class PenDrop(_Wrapper):
    """Ends the episode with the step that drops the pen; its reward has the penalty already."""

    def step(self, action: Any) -> Step:
        observation, reward, terminated, truncated, info = self.env.step(action)
        dropped = bool(pen_dropped(observation))
        return observation, float(reward), terminated or dropped, truncated, info


class PalmDistance(_Wrapper):
    """Subtracts a tenth of the palm's distance from the reward, instead of adding it."""

    def __init__(self, env: gym.Env[Any, Any], hand: str) -> None:
        super().__init__(env)
        self._hand = hand

    def step(self, action: Any) -> Step:
        observation, reward, terminated, truncated, info = self.env.step(action)
        reward = float(reward) + float(distance_correction(self._hand, observation))
        return observation, reward, terminated, truncated, info


class HealthyReward(_Wrapper):
    """Pays the healthy reward on the step that fails, too."""

    def step(self, action: Any) -> Step:
        observation, reward, terminated, truncated, info = self.env.step(action)
        reward = float(reward) + float(healthy_correction(np.asarray(terminated)))
        return observation, reward, terminated, truncated, info


class HeldSuccess(_Wrapper):
    """`success` is 1 once the episode has had more than 25 steps at its goal."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._steps_at_goal = 0

    def reset(self, **kwargs: Any) -> tuple[NDArray[Any], dict[str, Any]]:
        self._steps_at_goal = 0
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Step:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._steps_at_goal += bool(info["success"])
        success = self._steps_at_goal > _HELD
        return observation, float(reward), terminated, truncated, info | {"success": success}


class Float32(gym.ObservationWrapper[NDArray[np.float32], Any, NDArray[np.float64]]):
    """Observations as float32, which is what policies are trained on."""

    def __init__(self, env: gym.Env[NDArray[np.float64], Any]) -> None:
        super().__init__(env)
        if not isinstance(env.observation_space, gym.spaces.Box):
            raise UserError(
                f"{env} has observations in {env.observation_space}. Wrap it, in its own code, so "
                "that they are one array of numbers."
            )
        self.observation_space = gym.spaces.Box(
            -np.inf, np.inf, env.observation_space.shape, np.float32
        )

    def observation(self, observation: NDArray[np.float64]) -> NDArray[np.float32]:
        return observation.astype(np.float32)
