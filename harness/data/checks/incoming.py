"""What every episode must be before it becomes part of a dataset here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.minari_format import EpisodeArrays
from harness.errors import UserError

_A_STEP = ("rewards", "terminations", "truncations")  # arrays of one number for each step


def checked(dataset_id: str, episodes: Iterable[EpisodeArrays]) -> Iterator[EpisodeArrays]:
    """The episodes as they are.

    Raises UserError, with episode, array and step, for one that cannot be trained on.
    """
    for number, episode in enumerate(episodes):
        if problem := _problem(episode):
            raise UserError(
                f"{dataset_id}: episode {number}: {problem}. Nothing of it was taken in. Repair "
                "the data where they are from, then give the same command again."
            )
        yield episode


def _problem(episode: EpisodeArrays) -> str:
    """What is wrong with an episode, or nothing."""
    for name, array in episode.items():
        if array.dtype.kind not in "biuf":
            return f"'{name}' holds {array.dtype} and not numbers"
    steps = len(episode["actions"])
    if steps == 0:
        return "it has no steps"
    for name in _A_STEP:
        if episode[name].shape != (steps,):
            shape = list(episode[name].shape)
            return f"it has {steps} actions, and '{name}' has the shape {shape}, expected [{steps}]"
    if episode["actions"].ndim != 2:
        return f"'actions' have the shape {list(episode['actions'].shape)}, expected [steps, dim]"
    for name, array in episode.items():
        if name.startswith("observations") and len(array) != steps + 1:
            return f"it has {steps} actions and {len(array)} of '{name}', expected {steps + 1}"
        if (step := _first_unfit(array)) is not None:
            return f"'{name}' holds {array[step].tolist()} in step {step}, which no float32 holds"
    if not (episode["terminations"][-1] or episode["truncations"][-1]):
        return (
            f"its last step ({steps - 1}) is neither terminated nor truncated, so that it would "
            "run into the next episode"
        )
    return ""


def _first_unfit(array: NDArray[Any]) -> int | None:
    """The first step with a value that is not finite as a 32-bit float, which training uses."""
    if array.dtype.kind != "f":
        return None
    with np.errstate(over="ignore"):
        fit = np.isfinite(array.astype(np.float32)).reshape(len(array), -1).all(axis=1)
    return None if fit.all() else int(np.argmin(fit))
