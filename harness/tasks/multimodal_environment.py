"""The multimodal tasks as a gymnasium environment: a contextual bandit."""

from __future__ import annotations

import functools
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from harness.tasks.multimodal_geometry import ActionModes, observations_of, turned_back

Floats = NDArray[np.float32]

MEASURE_DECIMALS = 5  # of canonical coordinates: 1/200 of a sigma at worst, and short files

_shared = functools.cache(ActionModes)  # an evaluation has thousands of equal environments


class ActionModesBandit(gym.Env[Floats, Floats]):
    """A context, one action, its reward, the end.

    `info` of the step holds `success` (whether the action is in the behaviour's support) and
    `measures`, the action's canonical coordinates `canonical_0`, …, from which everything else
    about it follows (`ActionModes`).
    """

    def __init__(self, modes: int, dim: int, separation: float, reward_gap: float) -> None:
        self.observation_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (dim,), np.float32)
        self.modes = _shared(modes, dim, separation, reward_gap)
        self._observation: Floats = np.zeros(2, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Draw a context."""
        super().reset(seed=seed)
        self._observation = observations_of(self.np_random.uniform(0, self.modes.turn, 1))[0]
        return self._observation, {}

    def step(self, action: Floats) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Reward the action, clipped to the limits, and end the episode."""
        clipped = np.clip(action, -1.0, 1.0, dtype=np.float32)
        canonical = turned_back(self._observation[None], clipped[None])
        info = {
            "success": bool(self.modes.in_support(canonical)[0]),
            "measures": {
                f"canonical_{axis}": round(float(value), MEASURE_DECIMALS)
                for axis, value in enumerate(canonical[0])
            },
        }
        return self._observation, float(self.modes.value(canonical)[0]), True, False, info


# By name: only that can be written into a dataset's metadata.
gym.register("ActionModes-v0", f"{__name__}:{ActionModesBandit.__name__}")
