"""D4RL's rules of reward and termination, where today's environments and data differ (NumPy only).

Sources read for facts: D4RL d4rl/hand_manipulation_suite/*_v0.py and d4rl/infos.py @ 89141a6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.tasks.ids import RewardRule

Floats = NDArray[Any]

DISTANCE = {
    "door": RewardRule.DOOR_DISTANCE,
    "hammer": RewardRule.HAMMER_DISTANCE,
    "relocate": RewardRule.RELOCATE_DISTANCE,
}
_KEPT = {
    RewardRule.AS_RECORDED,
    RewardRule.PEN_DROP,
    RewardRule.SPARSE_SEEN_GOAL,
    RewardRule.DENSE_SEEN_GOAL,
    RewardRule.STEP_LATE,
}

_PEN_HEIGHT = 26  # column of an observation
_DROPPED = 0.075  # m
_HEALTHY_REWARD = 1.0


def pen_dropped(observations: Floats) -> NDArray[np.bool_]:
    """Whether D4RL's pen environment ends with these observations. [..., 45] -> [...]."""
    return np.asarray(observations[..., _PEN_HEIGHT] < _DROPPED)


def palm_distance(hand: str, observations: Floats) -> Floats:
    """Distance from the palm to what the hand is to take, in m. [..., obs_dim] -> [...]."""
    between = {
        "door": lambda: observations[..., 35:38],
        "hammer": lambda: observations[..., 33:36] - observations[..., 36:39],
        "relocate": lambda: observations[..., 30:33],
    }[hand]()
    return np.asarray(np.linalg.norm(between, axis=-1))


def distance_correction(hand: str, next_observations: Floats) -> Floats:
    """What turns gymnasium-robotics' reward into D4RL's. [..., obs_dim] -> [...].

    Releases 1.2.1 to 1.4.2 add 0.1 of the palm's distance where D4RL subtracts it.
    """
    return -0.2 * palm_distance(hand, next_observations)


def healthy_correction(terminals: Floats) -> Floats:
    """What turns the reward of Hopper-v5 or Walker2d-v5 into D4RL's. [...] -> [...]."""
    return _HEALTHY_REWARD * terminals


def corrected_rewards(rule: RewardRule, columns: dict[str, Floats]) -> Floats:
    """The task's rewards of recorded transitions, [N]; `columns` as `Transitions.pack` takes them.

    Raises ValueError for a rule that recorded rewards cannot follow.
    """
    rewards = columns["rewards"]
    if rule in _KEPT:
        return rewards
    if rule == RewardRule.HEALTHY_FALL:
        return rewards + healthy_correction(columns["terminals"])
    for hand, distance_rule in DISTANCE.items():
        if rule == distance_rule:
            return rewards + distance_correction(hand, columns["next_observations"])
    raise ValueError(f"recorded rewards cannot follow the rule '{rule}'")
