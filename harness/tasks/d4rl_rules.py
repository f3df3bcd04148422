"""D4RL's rules of reward and termination, where today's environments and data differ (NumPy only).

Each rule has a text: what a task's spec says of its rewards, and so part of a run's hash.
Sources read for facts: D4RL d4rl/hand_manipulation_suite/*_v0.py and d4rl/infos.py @ 89141a6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]

AS_RECORDED = "as recorded"
PEN_DROP = (
    "as recorded; the step that drops the pen (height below 0.075) is terminal and the rest of the "
    "episode is left out, as in D4RL"
)
HEALTHY = (
    "as recorded, plus 1 on a terminal step: the healthy reward that D4RL's version pays there and "
    "v5 does not"
)
DISTANCE = {
    hand: f"as recorded - 0.2 |palm - {thing}| of the next observation, which gives that term "
    "D4RL's sign"
    for hand, thing in (("door", "handle"), ("hammer", "hammer"), ("relocate", "ball"))
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


def corrected_rewards(rule: str, columns: dict[str, Floats]) -> Floats:
    """D4RL's rewards of recorded transitions, [N]; `columns` as `Transitions.pack` takes them."""
    rewards = columns["rewards"]
    if rule == HEALTHY:
        return rewards + healthy_correction(columns["terminals"])
    for hand, text in DISTANCE.items():
        if rule == text:
            return rewards + distance_correction(hand, columns["next_observations"])
    return rewards
