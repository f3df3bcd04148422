"""Raw observations of environments as policies see them (NumPy only)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.tasks.spec import EnvironmentSpec

Floats = NDArray[np.float32]


def point_state(observation: Mapping[str, Any]) -> Floats:
    """(x, y, vx, vy) of PointMaze's dict observation; the goal is left out. [..., 4]."""
    return np.asarray(observation["observation"], np.float32)


def point_goal(observation: Mapping[str, Any]) -> Floats:
    """(x, y, vx, vy, goal x, goal y) of PointMaze's dict observation. [..., 6]."""
    parts = (observation["observation"], observation["desired_goal"])
    return np.concatenate(parts, axis=-1, dtype=np.float32)


_OF_DICTS: dict[str, Callable[[Mapping[str, Any]], Floats]] = {
    "point-state": point_state,
    "point-goal": point_goal,
}


def flat_observation(spec: EnvironmentSpec, observation: Any) -> Floats:
    """An observation, or a batch of them, flat: a dict as the wrappers of a spec unpack it.

    Raises UserError for a dict that they do not unpack.
    """
    if not isinstance(observation, Mapping):
        return np.asarray(observation, np.float32)
    for name in spec.wrappers:
        if name in _OF_DICTS:
            return _OF_DICTS[name](observation)
    raise UserError(
        f"The policy was trained on flat observations of {spec.id}, which a dict with the keys "
        f"{', '.join(observation)} does not tell: act in the environment that "
        "policy.make_environment() makes."
    )
