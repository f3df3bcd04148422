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

    Raises UserError for a dict that they do not unpack, and for what is no numbers.
    """
    if not isinstance(observation, Mapping):
        return _numbers(spec, observation)
    for name in spec.wrappers:
        if name not in _OF_DICTS:
            continue
        try:
            return _OF_DICTS[name](observation)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"An observation of {spec.id} is a dict as the environment gives it; found one "
                f"with the keys {', '.join(map(str, observation)) or 'none'}."
            ) from error
    raise UserError(
        f"The policy was trained on flat observations of {spec.id}, which a dict with the keys "
        f"{', '.join(map(str, observation))} does not tell: act in the environment that "
        "policy.make_environment() makes."
    )


def _numbers(spec: EnvironmentSpec, observation: Any) -> Floats:
    try:
        return np.asarray(observation, np.float32)
    except (TypeError, ValueError) as error:
        found = repr(observation)
        found = found if len(found) <= 60 else f"{found[:57]}..."
        raise UserError(
            f"An observation of {spec.id} is an array of numbers; found {found}."
        ) from error
