"""Building evaluation environments from their specs (imports gymnasium and what they need)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError, lacks_memory
from harness.tasks import d4rl_wrappers as d4rl
from harness.tasks.d4rl_maze import D4rlMaze
from harness.tasks.observations import point_goal, point_state
from harness.tasks.spec import EnvironmentSpec

Environment = gym.Env[Any, Any]


class PointState(gym.ObservationWrapper[NDArray[np.float32], Any, dict[str, Any]]):
    """Keeps (x, y, vx, vy) of PointMaze's dict observation, as float32; the goal is left out."""

    def __init__(self, env: gym.Env[dict[str, Any], Any]) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)

    def observation(self, observation: dict[str, Any]) -> NDArray[np.float32]:
        return point_state(observation)


class PointGoal(gym.ObservationWrapper[NDArray[np.float32], Any, dict[str, Any]]):
    """Keeps (x, y, vx, vy, goal x, goal y) of PointMaze's dict observation, as float32."""

    def __init__(self, env: gym.Env[dict[str, Any], Any]) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (6,), np.float32)

    def observation(self, observation: dict[str, Any]) -> NDArray[np.float32]:
        return point_goal(observation)


_WRAPPERS: dict[str, Callable[[Environment], Environment]] = {
    "point-state": PointState,
    "point-goal": PointGoal,
    "d4rl-maze": D4rlMaze,
    "pen-drop": d4rl.PenDrop,
    "door-distance": partial(d4rl.PalmDistance, hand="door"),
    "hammer-distance": partial(d4rl.PalmDistance, hand="hammer"),
    "relocate-distance": partial(d4rl.PalmDistance, hand="relocate"),
    "healthy-reward": d4rl.HealthyReward,
    "held-success": d4rl.HeldSuccess,
    "float32": d4rl.Float32,
}


def make(spec: EnvironmentSpec, horizon: int, render_mode: str | None = None) -> Environment:
    """The environment of a spec with its time limit (steps) and wrappers."""
    env = make_unwrapped(spec, horizon, render_mode)
    for name in spec.wrappers:
        env = _WRAPPERS[name](env)
    observations, actions = env.observation_space, env.action_space
    if not (_is_flat(observations) and _is_flat(actions) and _is_unit(actions)):
        raise UserError(
            f"{spec.id} has observations in {observations} and actions in {actions}. Wrap it, in "
            "its own code, so that both have one axis, and actions two or more numbers in [-1, 1]."
        )
    return env


def make_unwrapped(
    spec: EnvironmentSpec, horizon: int, render_mode: str | None = None
) -> Environment:
    """The same without our wrappers, as Minari's metadata describes it."""
    arguments: dict[str, Any] = dict(spec.kwargs)
    if render_mode is not None:
        arguments["render_mode"] = render_mode
    try:
        with _care(spec.id, share=render_mode is None):
            return gym.make(
                spec.id, max_episode_steps=horizon, disable_env_checker=True, **arguments
            )
    except (gym.error.Error, ImportError) as error:
        if lacks_memory(error):
            raise
        raise UserError(f"The environment {spec.id} cannot be made: {error}") from error


def _is_flat(space: gym.Space[Any]) -> bool:
    return isinstance(space, gym.spaces.Box) and len(space.shape) == 1


def _is_unit(space: gym.Space[Any]) -> bool:
    """Whether a box is [-1, 1] along every axis, of which networks need more than one."""
    assert isinstance(space, gym.spaces.Box)
    return space.shape[0] > 1 and bool((space.low == -1).all() and (space.high == 1).all())


def _care(environment_id: str, *, share: bool) -> AbstractContextManager[None]:
    """What makes environments cheaper or quieter. Imports MuJoCo only for those that need it."""
    if environment_id.startswith(("PointMaze", "AdroitHand")):
        from harness.tasks.robotics import light_environments

        return light_environments(share=share)
    if environment_id.startswith("HalfCheetah"):
        from harness.tasks.quiet import quiet_loading

        return quiet_loading()
    return nullcontext()
