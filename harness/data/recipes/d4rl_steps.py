"""Reading a D4RL file: the arrays that learning needs, checked for being what they are called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.checks.incoming import first_unfit, kind_problem
from harness.data.hdf5 import opened, read_numbers
from harness.errors import UserError

_FLAGS = ("terminals", "timeouts")
_ONE_A_STEP = ("rewards", *_FLAGS)
_OPTIONAL = ("timeouts", "next_observations")
REQUIRED = ("observations", "actions", "rewards", "terminals")

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Steps:
    """A file's arrays, one row per step; an array that it does not have is None."""

    observations: NDArray[Any]
    actions: NDArray[Any]
    rewards: NDArray[Any]
    terminals: Flags
    timeouts: Flags | None
    next_observations: NDArray[Any] | None

    def __len__(self) -> int:
        return len(self.rewards)


def read_steps(path: Path) -> Steps:
    """The arrays of a D4RL file. Raises UserError if it is damaged or they do not belong together.

    Everything else in it (`infos`, `metadata`) is left alone.
    """
    try:
        with opened(path) as file:
            if lacking := [name for name in REQUIRED if name not in file]:
                raise UserError(f"{path} is not one of D4RL's files: it has no {lacking[0]}.")
            names = [*REQUIRED, *(name for name in _OPTIONAL if name in file)]
            arrays = {name: read_numbers(file, name) for name in names}
    except (OSError, KeyError) as error:
        raise UserError(
            f"{path} cannot be read ({error}). Delete it and fetch it again."
        ) from error
    for name in set(_ONE_A_STEP) & set(arrays):
        # Some files hold columns, [N, 1]; D4RL's get_dataset flattens them, too.
        if arrays[name].ndim == 2 and arrays[name].shape[1] == 1:
            arrays[name] = arrays[name][:, 0]
    if problem := _problem(arrays):
        raise UserError(f"{path} is not one of D4RL's files: {problem}.")
    flags = {name: arrays[name].astype(np.bool_) for name in _FLAGS if name in arrays}
    return Steps(
        observations=arrays["observations"],
        actions=arrays["actions"],
        rewards=arrays["rewards"],
        terminals=flags["terminals"],
        timeouts=flags.get("timeouts"),
        next_observations=arrays.get("next_observations"),
    )


def _problem(arrays: dict[str, NDArray[Any]]) -> str:
    """What is wrong with the arrays, or nothing."""
    if problem := next(filter(None, (kind_problem(*item) for item in arrays.items())), ""):
        return problem
    # Files of some releases held more observations than actions (D4RL issue 64).
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1 or not lengths["rewards"]:
        return f"its arrays have {', '.join(f'{n} {name}' for name, n in lengths.items())}"
    for name, array in arrays.items():
        if array.ndim != (1 if name in _ONE_A_STEP else 2):
            return f"its {name} have the shape {list(array.shape)}"
    if "next_observations" in arrays:
        shapes = [list(arrays[name].shape) for name in ("observations", "next_observations")]
        if shapes[0] != shapes[1]:
            return f"its observations have the shape {shapes[0]}, their successors {shapes[1]}"
    for name in set(_FLAGS) & set(arrays):
        if not np.isin(arrays[name], (0, 1)).all():
            return f"its {name} are not all 0 or 1"
    for name, array in arrays.items():
        if (row := first_unfit(array)) is not None:
            return f"row {row} of its {name} holds {array[row].tolist()}, no finite 32-bit number"
    return ""
