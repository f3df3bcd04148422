"""What a method's data decide of its acting, apart from them: with it, acting needs no data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.engine.rewards import LearnedRewards
from algorithms.transitions import Facts, Floats

_NUMBERS = ("longest_episode", "best_return", "lowest_reward", "highest_reward")  # of `Facts`
_QUANTILES = "quantiles/"


@dataclass(frozen=True)
class Preprocessing:
    """How observations and rewards are changed before a method sees them, and its data's facts.

    Attributes:
        action_dim: length of one action.
        mean: subtracted from observations, float32 `[obs_dim]`.
        scale: then a factor on them, float32 `[obs_dim]`.
        rewards: the transform of rewards.
        facts: what the method may be built from, in transformed rewards.
    """

    action_dim: int
    mean: Tensor
    scale: Tensor
    rewards: LearnedRewards
    facts: Facts

    @property
    def obs_dim(self) -> int:
        """Length of one observation."""
        return len(self.mean)

    def normalize(self, observations: Tensor) -> Tensor:
        """Observations as networks see them. [..., obs_dim] -> the same."""
        return (observations - self.mean) * self.scale

    def state(self) -> dict[str, NDArray[Any]]:
        """All of it as arrays, with those quantiles that have been asked for."""
        numbers = {name: np.array(getattr(self.facts, name), np.float64) for name in _NUMBERS}
        quantiles = self.facts.quantiles
        asked = quantiles.found if isinstance(quantiles, KeptQuantiles) else {}
        return {
            "action_dim": np.array(self.action_dim),
            "mean": self.mean.cpu().numpy().copy(),
            "scale": self.scale.cpu().numpy().copy(),
            "rewards": np.array(self.rewards, np.float64),
            **numbers,
            **{f"{_QUANTILES}{parts}": values for parts, values in asked.items()},
        }

    @classmethod
    def of_state(cls, state: Mapping[str, NDArray[Any]], device: torch.device) -> Preprocessing:
        """What `state()` gave, on a device."""
        found = {
            int(name.removeprefix(_QUANTILES)): values
            for name, values in state.items()
            if name.startswith(_QUANTILES)
        }
        longest, *numbers = (float(state[name]) for name in _NUMBERS)
        best, lowest, highest = numbers
        facts = Facts(int(longest), best, lowest, highest, found.__getitem__)
        return cls(
            action_dim=int(state["action_dim"]),
            mean=torch.tensor(state["mean"], device=device),
            scale=torch.tensor(state["scale"], device=device),
            rewards=LearnedRewards(*state["rewards"].tolist()),
            facts=facts,
        )


class KeptQuantiles:
    """`Facts.quantiles` that remembers its answers: whoever acts without the data needs them.

    Attributes:
        found: by number of parts.
    """

    def __init__(self, compute: Callable[[int], Floats]) -> None:
        self._compute = compute
        self.found: dict[int, Floats] = {}

    def __call__(self, parts: int) -> Floats:
        if parts not in self.found:
            self.found[parts] = self._compute(parts)
        return self.found[parts]
