"""The smallest files that the hopper's tasks are made of, with one thing changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Arrays = dict[str, Any]

DATASET = "local/hopper/medium-v0"
METADATA = {
    "env_spec": json.dumps({"id": "Hopper-v5", "kwargs": {}, "max_episode_steps": 1000}),
    "algorithm_name": "noise",
    "description": "Numbers.",
}


def episode(steps: int = 4, **changes: Any) -> Arrays:
    """As Minari stores it, truncated at the end; an array that is changed to None is left out."""
    rng = np.random.default_rng(steps)
    arrays = {
        "observations": rng.normal(size=(steps + 1, 11)),
        "actions": rng.uniform(-1, 1, (steps, 3)),
        "rewards": np.arange(steps) / 10,
        "terminations": np.zeros(steps, bool),
        "truncations": np.arange(steps) == steps - 1,
    }
    return arrays | changes


def leave_minari(folder: Path, episodes: list[Arrays], metadata: Any = METADATA) -> Path:
    """Write the dataset of `local/hopper/medium`; returns its data file."""
    path = folder / DATASET / "data" / "main_data.hdf5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for number, arrays in enumerate(episodes):
            _fill(file.create_group(f"episode_{number}"), arrays)
    path.with_name("metadata.json").write_text(json.dumps(metadata))
    return path


def leave_d4rl(folder: Path, **changes: Any) -> Path:
    """Write the file of `gym/hopper/medium`, two episodes of ten rows; returns its path."""
    rng, path = np.random.default_rng(0), folder / "hopper_medium-v2.hdf5"
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "observations": rng.normal(size=(20, 11)),
        "actions": rng.uniform(-1, 1, (20, 3)),
        "rewards": np.arange(20) / 10,
        "terminals": np.zeros(20, bool),
        "timeouts": np.arange(20) % 10 == 9,
    }
    with h5py.File(path, "w") as file:
        _fill(file, arrays | changes)
    return path


def endless(group: Any, name: str) -> None:
    """An array of 80 TB of which nothing is stored."""
    group.create_dataset(name, shape=(10**13,), chunks=(1000,), dtype="f8")


def _fill(group: Any, arrays: Arrays) -> None:
    for name, array in arrays.items():
        if callable(array):
            array(group, name)
        elif array is not None:
            group.create_dataset(name, data=array)
