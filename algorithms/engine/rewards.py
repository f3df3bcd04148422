"""The rewards that a method learns from: the data's, scaled and shifted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from algorithms.base import Config
from algorithms.transitions import Facts, Floats, Transitions

_SPAN = 1000.0  # what episodes' returns span after `return-range`


class LearnedRewards(NamedTuple):
    """`scale * r + shift`."""

    scale: float
    shift: float

    @classmethod
    def of(cls, transitions: Transitions, config: Config) -> LearnedRewards:
        """What a config asks for, on these data.

        mean-return: the mean |return to go| is 1. return-range: episodes' returns span 1000, as in
        IQL's official code. standard: mean 0 and standard deviation 1. Then the config's own scale
        and shift.
        """
        scale, shift = 1.0, 0.0
        if config.reward_transform == "mean-return":
            scale = 1 / _positive(np.abs(transitions.returns(config.discount)).mean(dtype=float))
        elif config.reward_transform == "return-range":
            returns = transitions.episode_returns()
            scale = _SPAN / _positive(returns.max() - returns.min())
        elif config.reward_transform == "standard":
            scale = 1 / _positive(transitions.rewards.std(dtype=float))
            shift = -scale * float(transitions.rewards.mean(dtype=float))
        factor = config.reward_scale
        return cls(factor * scale, factor * shift + config.reward_shift)

    def __call__(self, rewards: Floats) -> Floats:
        """Of the data's rewards, any shape."""
        return np.asarray(rewards * np.float32(self.scale) + np.float32(self.shift), np.float32)

    def facts(self, transitions: Transitions) -> Facts:
        """What methods may be built from, in these rewards."""
        ends = transitions.episode_ends()
        lengths = np.diff(ends, prepend=0)
        returns = self.scale * transitions.episode_returns() + self.shift * lengths
        rewards = self(transitions.rewards)
        return Facts(
            longest_episode=int(lengths.max()),
            best_return=float(returns.max()),
            lowest_reward=float(rewards.min()),
            highest_reward=float(rewards.max()),
        )


def _positive(number: float) -> float:
    """For a division: data in which nothing differs keep their scale nearly."""
    return max(float(number), 1e-8)
