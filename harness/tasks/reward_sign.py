"""Which sign the palm's distance has in recorded Adroit rewards, told from observations (NumPy).

D4RL, and gymnasium-robotics 1.2.0, subtract a tenth of the palm's distance; gymnasium-robotics
1.2.1 to 1.4.2 add it, and files do not say which. The sign is fitted: while what the hand is to
take stays where it is, the reward's other terms are constant or known, but for a small cost of
speed. Terms: D4RL d4rl/hand_manipulation_suite/{door,hammer,relocate}_v0.py @ 89141a6.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.tasks.d4rl_rules import distance_correction, palm_distance
from harness.tasks.ids import RewardRule
from harness.tasks.spec import TaskSpec

Sign = Literal["subtracted", "added"]
Floats = NDArray[Any]

D4RL_SIGN = {
    "door": RewardRule.DOOR_SIGN,
    "hammer": RewardRule.HAMMER_SIGN,
    "relocate": RewardRule.RELOCATE_SIGN,
}

_WEIGHT = 0.1  # of the palm's distance
_TOLERANCE = 0.04  # of the fitted weight; measured errors are below 0.005
_STILL = 1e-3  # largest change in a step of what counts as still
_TIME_STEP = 0.01  # s
_JOINTS = {"door": 27, "hammer": 26, "relocate": 30}  # leading columns: the hand's own
_SPEEDS = slice(27, 33)  # of the hammer, recorded clipped to [-1, 1]
# What must stay still: latch and hinge; the nail; the ball's place from its target.
_FIXED = {"door": slice(27, 29), "hammer": slice(26, 27), "relocate": slice(36, 39)}
_HAMMER, _HAMMER_ANGLES, _NAIL = slice(36, 39), slice(39, 42), slice(42, 45)
HAMMER_HEAD = np.array([-0.2, 0.0, -0.04])  # of the hammer, in its own frame
_LIFTED, _LIFT_BONUS = 0.04, 2.0  # m, reward
_MOST_ROWS = 200_000


def signed_hand(task: TaskSpec) -> str | None:
    """Whose palm's distance the task's rewards get D4RL's sign of; None: nobody's."""
    return next((hand for hand, rule in D4RL_SIGN.items() if rule == task.dataset.rewards), None)


def with_d4rl_sign(hand: str, columns: dict[str, Floats]) -> Floats | None:
    """Rewards with the palm's distance subtracted, [N]; None where the recorded sign fits neither.

    `columns` are as `Transitions.pack` takes them.
    """
    sign = recorded_sign(hand, columns)
    if sign == "added":
        return columns["rewards"] + distance_correction(hand, columns["next_observations"])
    return columns["rewards"] if sign else None


def recorded_sign(hand: str, columns: dict[str, Floats]) -> Sign | None:
    """Whether recorded rewards subtract or add the palm's distance; None where no sign fits.

    `columns` are as `Transitions.pack` takes them; the first 200,000 rows are enough.
    """
    rows = {name: np.asarray(values[:_MOST_ROWS], float) for name, values in columns.items()}
    before, after = rows["observations"], rows["next_observations"]
    change = after - before
    ended = (rows["terminals"] + rows["timeouts"]) > 0
    still = np.abs(change[:, _FIXED[hand]]).max(axis=1) < _STILL
    runs = np.cumsum(~still | np.concatenate([[True], ended[:-1]]))
    used = still & ~ended
    used[-1] = False  # speeds need the step after
    if hand == "hammer":
        used &= np.abs(after[:, _SPEEDS]).max(axis=1) < 1.0
    runs, after = runs[used], after[used]
    rewards = rows["rewards"][used] - _known_terms(hand, after)
    distance, speed = palm_distance(hand, after), _speeds(hand, change)[used]
    regressors = np.stack([_centred(x, runs) for x in (distance, speed, speed**2)], axis=1)
    if np.linalg.matrix_rank(regressors) < 3:
        return None
    fitted, *_ = np.linalg.lstsq(regressors, _centred(rewards, runs), rcond=None)
    if abs(fitted[0] + _WEIGHT) < _TOLERANCE:
        return "subtracted"
    return "added" if abs(fitted[0] - _WEIGHT) < _TOLERANCE else None


def _speeds(hand: str, change: Floats) -> Floats:
    """Speed of the hand's joints at the end of a step: the mean of this and the next change."""
    joints = change[:, : _JOINTS[hand]]
    following = np.concatenate([joints[1:], joints[-1:]])
    return np.asarray(np.linalg.norm(joints + following, axis=1) / (2 * _TIME_STEP))


def _known_terms(hand: str, observations: Floats) -> Floats:
    """Terms that change while the fixed columns do not: the hammer's way to the nail, its lift."""
    if hand != "hammer":
        return np.zeros(len(observations))
    place = observations[:, _HAMMER]
    turns = hammer_rotations(observations[:, _HAMMER_ANGLES])
    head = place + np.einsum("nij,j->ni", turns, HAMMER_HEAD)
    lifted = (place[:, 2] > _LIFTED) & (head[:, 2] > _LIFTED)
    to_nail = np.linalg.norm(head - observations[:, _NAIL], axis=1)
    return np.asarray(_LIFT_BONUS * lifted - to_nail)


def hammer_rotations(angles: Floats) -> Floats:
    """Rotation about x, then the turned y, then the turned z. [N, 3] -> [N, 3, 3]."""
    matrices = np.eye(3)
    for axis in range(3):
        cosine, sine = np.cos(angles[:, axis]), np.sin(angles[:, axis])
        turn = np.zeros((len(angles), 3, 3))
        turn[:, axis, axis] = 1.0
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn[:, first, first] = turn[:, second, second] = cosine
        turn[:, first, second], turn[:, second, first] = -sine, sine
        matrices = matrices @ turn
    return matrices


def _centred(values: Floats, runs: NDArray[np.int64]) -> Floats:
    """Values less the mean of their run."""
    sums, counts = np.bincount(runs, values), np.bincount(runs)
    return np.asarray(values - (sums / np.maximum(counts, 1))[runs])
