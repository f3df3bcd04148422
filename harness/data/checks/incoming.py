"""What every episode must be before it becomes part of a dataset here, and what is noted of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.minari_format import EpisodeArrays
from harness.errors import UserError

NOTHING_TAKEN = (
    "Nothing of it was taken in. Repair the data where they are from, then give the same command "
    "again."
)
_FLAGS = ("terminations", "truncations")
_A_STEP = ("rewards", *_FLAGS)  # arrays of one number for each step
_ROUNDING = 1e-6  # by which an action may pass its limit without being one that is clipped


class Intake:
    """Takes in the episodes of a dataset, and counts what readers of its manifest should know."""

    def __init__(self) -> None:
        self._clipped = 0
        self._rewards: list[float] = []  # lowest and highest so far

    def take(self, where: str, episodes: Iterable[EpisodeArrays]) -> Iterator[EpisodeArrays]:
        """The episodes with actions clipped to [-1, 1] and ends as booleans, never both at once.

        A step that ends the MDP at the time limit is terminal. Raises UserError as `checked` does.
        """
        for episode in checked(where, episodes):
            actions, rewards = episode["actions"], episode["rewards"]
            self._clipped += int((np.abs(actions) > 1 + _ROUNDING).any(axis=1).sum())
            ends = (*self._rewards, float(rewards.min()), float(rewards.max()))
            self._rewards = [min(ends), max(ends)]
            terminated, truncated = (episode[name].astype(np.bool_) for name in _FLAGS)
            yield episode | {
                "actions": np.clip(actions, -1.0, 1.0),
                "terminations": terminated,
                "truncations": truncated & ~terminated,
            }

    def facts(self, *, rewarded: bool) -> dict[str, int | float]:
        """For the manifest: `clipped_steps`, and `constant_reward` if all are the same.

        rewarded: whether the recorded rewards are learned from.
        """
        low, high = self._rewards
        constant = {"constant_reward": low} if rewarded and low == high else {}
        return {"clipped_steps": self._clipped} | constant


def checked(where: str, episodes: Iterable[EpisodeArrays]) -> Iterator[EpisodeArrays]:
    """The episodes as they are; `where` names the file or dataset that they are of.

    Raises UserError, with episode, array and step, for one that cannot be trained on, and if there
    is none.
    """
    sizes: dict[str, list[int]] = {}
    number = -1
    for number, episode in enumerate(episodes):
        problem = _problem(episode)
        for name, array in episode.items():
            size = list(array.shape[1:])
            if not problem and size != sizes.setdefault(name, size):
                problem = f"a step of '{name}' has the shape {size}, in episode 0 {sizes[name]}"
        if problem:
            raise UserError(f"{where}: episode {number}: {problem}. {NOTHING_TAKEN}")
        yield episode
    if number < 0:
        raise UserError(f"{where}: it has no episodes. {NOTHING_TAKEN}")


def first_unfit(array: NDArray[Any]) -> int | None:
    """The first row with a value that is not finite as a 32-bit float, which training uses."""
    if array.dtype.kind != "f":
        return None
    with np.errstate(over="ignore"):
        fit = np.isfinite(array.astype(np.float32)).reshape(len(array), -1).all(axis=1)
    return None if fit.all() else int(np.argmin(fit))


def kind_problem(name: str, array: NDArray[Any]) -> str:
    """That an array's numbers are of a kind that is not learned from, or nothing."""
    if array.dtype.kind not in "biuf":
        return f"'{name}' holds {array.dtype} and not numbers"
    if name == "actions" and array.dtype.kind != "f":
        return (
            f"'actions' holds {array.dtype}, as discrete actions do, and methods here learn "
            "continuous ones, floats in [-1, 1]"
        )
    return ""


def _problem(episode: EpisodeArrays) -> str:
    """What is wrong with an episode, or nothing."""
    if problem := next(filter(None, (kind_problem(*item) for item in episode.items())), ""):
        return problem
    return _size_problem(episode) or _value_problem(episode) or _end_problem(episode)


def _size_problem(episode: EpisodeArrays) -> str:
    steps = len(episode["actions"])
    if steps == 0:
        return "it has no steps"
    for name in _A_STEP:
        if episode[name].shape != (steps,):
            shape = list(episode[name].shape)
            return f"it has {steps} actions, and '{name}' has the shape {shape}, expected [{steps}]"
    for name, array in episode.items():
        observed = name.startswith("observations")
        if (observed or name == "actions") and array.ndim != 2:
            return f"'{name}' have the shape {list(array.shape)}, expected [steps, dim]"
        if observed and len(array) != steps + 1:
            return f"it has {steps} actions and {len(array)} of '{name}', expected {steps + 1}"
    return ""


def _value_problem(episode: EpisodeArrays) -> str:
    for name, array in episode.items():
        if (step := first_unfit(array)) is not None:
            return f"'{name}' holds {array[step].tolist()} in step {step}, no finite 32-bit number"
    for name in _FLAGS:
        if (odd := np.flatnonzero(~np.isin(episode[name], (0, 1)))).size:
            return f"'{name}' holds {episode[name][odd[0]]} in step {odd[0]}, and not 0 or 1"
    return ""


def _end_problem(episode: EpisodeArrays) -> str:
    steps = len(episode["actions"])
    ends = np.flatnonzero((episode["terminations"] != 0) | (episode["truncations"] != 0))
    if len(ends) == 0 or ends[-1] != steps - 1:
        return (
            f"its last step ({steps - 1}) is neither terminated nor truncated, so that it would "
            "run into the next episode"
        )
    if len(ends) not in (1, steps):  # many episodes of one step may share one, as bandits' do
        return f"it ends at step {ends[0]} and goes on to step {steps - 1}"
    return ""
