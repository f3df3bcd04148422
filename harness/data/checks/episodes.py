"""Checks of a dataset's episodes as they are stored, one after the other. Sentences, as others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

from harness.data.minari_format import EpisodeArrays
from harness.tasks.pointmaze import GOAL_RADIUS

# Kinds of numbers that an array may hold, by the kind that is expected.
_KINDS = {"f": "fiub", "i": "i", "u": "u", "b": "b"}
_STEP_ARRAYS = ("actions", "rewards", "terminations", "truncations")


@dataclass(frozen=True)
class ExpectedArrays:
    """What a dataset's metadata say of its arrays.

    Attributes:
        spaces: of observations and actions, by the array's name.
        environment: where the data are from.
        longest: steps an episode has at most; None if its source keeps to no limit.
        one_step: every step is an episode, and a stored episode just holds many of them.
    """

    spaces: dict[str, gym.spaces.Box]
    environment: EnvSpec
    longest: int | None
    one_step: bool


def expected_of(metadata: dict[str, Any], *, demonstrations: bool) -> ExpectedArrays:
    """From Minari's metadata. Demonstrations by people may be longer than the environment runs."""
    from minari.serialization import deserialize_space

    environment = EnvSpec.from_json(metadata["env_spec"])
    limit = environment.max_episode_steps
    spaces = {
        **_boxes("observations", deserialize_space(metadata["observation_space"])),
        **_boxes("actions", deserialize_space(metadata["action_space"])),
    }
    one_step = limit == 1
    return ExpectedArrays(
        spaces, environment, None if demonstrations or one_step else limit, one_step
    )


def steps_agree(_: ExpectedArrays, episode: EpisodeArrays) -> str:
    """Arrays have one row per step, observations one more."""
    steps = len(episode["actions"])
    for name, array in episode.items():
        rows = steps + (name not in _STEP_ARRAYS)
        if len(array) != rows and not name.startswith("infos/"):
            return f"has {len(array)} rows of '{name}' for {steps} steps"
    return ""


def shapes_and_types(expected: ExpectedArrays, episode: EpisodeArrays) -> str:
    """Observations and actions are what their spaces are; rewards are numbers, ends are booleans.

    Numbers may be of another precision than the space's, and whole where it has floats.
    """
    for name, space in expected.spaces.items():
        array = episode[name]
        if array.shape[1:] != space.shape or array.dtype.kind not in _KINDS[space.dtype.kind]:
            return (
                f"has '{name}' of {array.dtype} {list(array.shape[1:])}, where its space has "
                f"{space.dtype} {list(space.shape)}"
            )
    for name, kind in (("rewards", "f"), ("terminations", "b"), ("truncations", "b")):
        if episode[name].dtype.kind not in _KINDS[kind] or episode[name].ndim != 1:
            return f"has '{name}' of {episode[name].dtype} {list(episode[name].shape[1:])}"
    return ""


def finite(_: ExpectedArrays, episode: EpisodeArrays) -> str:
    """No NaN and no infinity, in any array."""
    for name, array in episode.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(1))[0])
            return f"has a NaN or an infinite number in row {row} of '{name}'"
    return ""


def in_range(expected: ExpectedArrays, episode: EpisodeArrays) -> str:
    """Observations and actions are inside their spaces, and fit into 32 bits."""
    for name, space in expected.spaces.items():
        largest = np.finfo(np.float32).max
        low, high = np.maximum(space.low, -largest), np.minimum(space.high, largest)
        bad = (episode[name] < low) | (episode[name] > high)
        if bad.any():
            row = int(np.flatnonzero(bad.any(axis=tuple(range(1, bad.ndim))))[0])
            value = episode[name][row][bad[row]].flat[0]
            return f"has {value:g} in row {row} of '{name}', outside its space"
    return ""


def one_end(expected: ExpectedArrays, episode: EpisodeArrays) -> str:
    """Exactly one of termination and truncation, at the last step and nowhere before."""
    terminated, truncated = episode["terminations"], episode["truncations"]
    if (both := np.flatnonzero(terminated & truncated)).size:
        return f"is terminated and truncated at once, at step {both[0]}"
    ends = np.flatnonzero(terminated | truncated)
    if expected.one_step:
        return "" if len(ends) == len(terminated) else "has a step that is no episode of its own"
    if len(ends) == 0 or ends[-1] != len(terminated) - 1:
        return "ends without a termination or truncation at its last step"
    return f"goes on after its end at step {ends[0]}" if len(ends) > 1 else ""


def within_horizon(expected: ExpectedArrays, episode: EpisodeArrays) -> str:
    """It is no longer than the environment it is from lets it be."""
    steps = len(episode["actions"])
    if expected.longest is None or steps <= expected.longest:
        return ""
    return f"has {steps} steps, where {expected.environment.id} stops after {expected.longest}"


def goal_rewards(expected: ExpectedArrays, episode: EpisodeArrays) -> str:
    """PointMaze: rewards are those of the goal in the next observation."""
    arrays = ("observations/achieved_goal", "observations/desired_goal", "rewards")
    if not expected.environment.id.startswith("PointMaze") or not episode.keys() >= set(arrays):
        return ""
    achieved, desired, rewards = (episode[name] for name in arrays)
    distance = np.linalg.norm(achieved[1:] - desired[1:], axis=1)
    dense = "Dense" in expected.environment.id
    right = np.exp(-distance) if dense else (distance <= GOAL_RADIUS).astype(float)
    bad = np.flatnonzero(~np.isclose(rewards, right, rtol=0, atol=1e-6))
    if len(bad) == 0:
        return ""
    return f"has a reward of {rewards[bad[0]]:g} at step {bad[0]}, where its goal says otherwise"


CHECKS: tuple[Callable[[ExpectedArrays, EpisodeArrays], str], ...] = (
    steps_agree,
    shapes_and_types,
    finite,
    in_range,
    one_end,
    within_horizon,
    goal_rewards,
)


class EpisodeProblems:
    """Runs every check on every episode; a later check only sees what an earlier one let pass."""

    def __init__(self, dataset_id: str, expected: ExpectedArrays) -> None:
        self._id, self._expected = dataset_id, expected
        self._first: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def look(self, number: int, episode: EpisodeArrays) -> None:
        for check in CHECKS:
            if found := check(self._expected, episode):
                self._first.setdefault(check.__name__, f"episode {number} {found}")
                self._counts[check.__name__] = self._counts.get(check.__name__, 0) + 1
                return

    @property
    def regular(self) -> bool:
        """Whether every episode's arrays are of the right sizes and kinds."""
        return not self._first.keys() & {steps_agree.__name__, shapes_and_types.__name__}

    def sentences(self) -> Iterable[str]:
        """One for every check that failed, with its first place and how many episodes there are."""
        for name, text in self._first.items():
            more = (
                f" (and {count - 1:,} more episodes)" if (count := self._counts[name]) > 1 else ""
            )
            yield f"{self._id}: {text}{more}."


def _boxes(name: str, space: Any) -> dict[str, gym.spaces.Box]:
    if isinstance(space, gym.spaces.Dict):
        return {
            path: box
            for key, inner in space.spaces.items()
            for path, box in _boxes(f"{name}/{key}", inner).items()
        }
    assert isinstance(space, gym.spaces.Box)
    return {name: space}
