"""What Adroit's observations tell of its rewards, and which sign the palm's distance has in them.

Everything of a reward can be recomputed from the next observation but the cost of velocities (door,
hammer) and whether the ball is lifted (relocate). Sources read for facts: gymnasium-robotics 1.4.2
envs/adroit_hand/adroit_*.py and assets/adroit_hand/adroit_hammer.xml; D4RL
d4rl/hand_manipulation_suite/*_v0.py @ 89141a6, which subtracts the distance those add.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from algorithms.transitions import Transitions
from harness.tasks.d4rl_rules import palm_distance
from harness.tasks.reward_sign import HAMMER_HEAD, hammer_rotations
from harness.tasks.spec import TaskSpec

Floats = NDArray[np.float64]

_SCALE = 0.1  # of the palm's distance
_CLEAR = 0.03  # a fitted scale nearer to zero says nothing of the sign
_EDGE = 1e-5  # bonuses this close to their threshold may or may not be paid, as numbers are rounded
_TOLERANCE = 1e-3
# What the cost of velocities takes off at most (seen in the local data: 0.11 and 0.4).
_COST = {"pen": 0.0, "door": 1.0, "hammer": 3.0, "relocate": 0.0}
_NAIL = 0.091  # m that the nail has to go in
_STEP = 0.01  # s


def hand_of(task: TaskSpec) -> str | None:
    """`pen`, `door`, `hammer` or `relocate`; None for a task without a hand, or sparse rewards."""
    names = {f"AdroitHand{hand.title()}-v1": hand for hand in _COST}
    return names.get(task.environment.id)


def palm_tenths(hand: str, rows: Transitions) -> int:
    """How many tenths of the palm's distance the rewards hold; 0 if the data cannot tell.

    1 in gymnasium-robotics 1.2.1 to 1.4.2, -1 in D4RL, and 3 or -3 where one was taken for the
    other. Fitted to what the rest of the reward leaves. hand: not the pen.
    """
    after = rows.next_observations.astype(np.float64)
    distance = palm_distance(hand, after)
    left = rows.rewards - _known(hand, rows, after)
    left = np.take_along_axis(left, np.abs(left).argmin(0)[None], 0)[0]
    if hand == "hammer":
        left += 0.01 * _speed(rows, after)
    usual = np.abs(left) < 1
    if usual.sum() < 2 or np.ptp(distance[usual]) < _EDGE:
        return 0
    fit = np.stack([distance[usual], np.ones(int(usual.sum()))], 1)
    scale = float(np.linalg.lstsq(fit, left[usual], rcond=None)[0][0])
    if abs(scale) < _CLEAR:
        return 0
    return int(np.sign(scale)) * (1 if abs(scale) < 2 * _SCALE else 3)


def unexplained(hand: str, tenths: int, rows: Transitions) -> NDArray[np.bool_]:
    """Steps whose reward cannot be what the next observation says. [N]."""
    after = rows.next_observations.astype(np.float64)
    known = _known(hand, rows, after)
    if hand != "pen":
        known = known + tenths * _SCALE * palm_distance(hand, after)
    left = rows.rewards - known
    explained = (left <= _TOLERANCE) & (left >= -_TOLERANCE - _COST[hand])
    return np.asarray(~explained.any(axis=0))


def _known(hand: str, rows: Transitions, after: Floats) -> Floats:
    """What the rewards hold besides the palm's distance and costs, in variants. -> [V, N]."""
    rest = _REST[hand]
    return np.concatenate([rest(rows, after, edge) for edge in (-_EDGE, _EDGE)])


def _pen(_: Transitions, after: Floats, edge: float) -> Floats:
    distance = _norm(after[:, 39:42])
    similarity = (after[:, 33:36] * after[:, 36:39]).sum(1)
    close = distance < 0.075 + edge
    reward = similarity - distance
    reward += 10.0 * (close & (similarity > 0.9 - edge))
    reward += 50.0 * (close & (similarity > 0.95 - edge))
    # Separately rounded: a pen exactly as high as the limit is not one that is well placed.
    return np.stack([reward - 5.0 * (after[:, 26] < 0.075 + at) for at in (-_EDGE, _EDGE)])


def _door(_: Transitions, after: Floats, edge: float) -> Floats:
    hinge = after[:, 28]
    reward = -0.1 * (hinge - 1.57) ** 2
    for threshold, bonus in ((0.2, 2.0), (1.0, 8.0), (1.35, 10.0)):
        reward += bonus * (hinge > threshold + edge)
    return reward[None]


def _hammer(rows: Transitions, after: Floats, edge: float) -> Floats:
    position, nail = after[:, 36:39], after[:, 42:45]
    head = position + hammer_rotations(after[:, 39:42]) @ HAMMER_HEAD
    # By where the nail is seen, which is a moment before its joint's position (column 26), as
    # MuJoCo leaves them after a step; from the episode's start, as the board's height is drawn.
    ends = rows.episode_ends()
    lengths = np.diff(ends, prepend=0)
    start = np.repeat(rows.observations[ends - lengths].astype(np.float64), lengths, axis=0)
    to_go = np.abs(_NAIL - start[:, 26] - _norm(nail - start[:, 42:45]))
    reward = -_norm(head - nail) - 10.0 * to_go
    reward += 25.0 * (to_go < 0.02 + edge) + 75.0 * (to_go < 0.01 + edge)
    lifted = [(position[:, 2] > 0.04 + at) & (head[:, 2] > 0.04 + at) for at in (-_EDGE, _EDGE)]
    return np.stack([reward + 2.0 * up for up in lifted])


def _relocate(_: Transitions, after: Floats, edge: float) -> Floats:
    palm_to_target, ball_to_target = _norm(after[:, 33:36]), _norm(after[:, 36:39])
    bonus = 10.0 * (ball_to_target < 0.1 + edge) + 20.0 * (ball_to_target < 0.05 + edge)
    lifted = 1.0 - 0.5 * palm_to_target - 0.5 * ball_to_target
    return np.stack([bonus, bonus + lifted])


_REST: dict[str, Callable[[Transitions, Floats, float], Floats]] = {
    "pen": _pen,
    "door": _door,
    "hammer": _hammer,
    "relocate": _relocate,
}


def _speed(rows: Transitions, after: Floats) -> Floats:
    """About the norm of all velocities: the hand's and the nail's from positions. [N]."""
    moved = (after[:, :27] - rows.observations[:, :27]) / _STEP
    return np.hypot(_norm(moved), _norm(after[:, 27:33]))


def _norm(vectors: Floats) -> Floats:
    return np.asarray(np.linalg.norm(vectors, axis=-1))
