"""SAC's policy as a policy file, which is how its levels are rolled out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.recipes.policy_files import save_policy

_STD_FLOOR = 1e-5  # of SAC's policy: σ is softplus(output) + this


def save_sac_policy(path: Path, state: Mapping[str, NDArray[Any]], environment_id: str) -> None:
    """Write the actor of one seed's learning state; the same state gives the same bytes."""
    *hidden, head = layers_of(state)
    arrays: dict[str, NDArray[Any]] = {}
    for i, (weight, bias) in enumerate(hidden):
        arrays |= {f"W{i}": weight, f"b{i}": bias}
    last = len(hidden)
    (mean_weight, std_weight), (mean_bias, std_bias) = (np.split(each, 2) for each in head)
    arrays |= {f"W{last}": mean_weight, f"b{last}": mean_bias}
    arrays |= {"W_log_std": std_weight, "b_log_std": std_bias}
    meta = {
        "algorithm": "SAC",
        "activation": "relu",
        "squash": "tanh",
        "n_layers": last + 1,
        "std_floor": _STD_FLOOR,
        "obs_clip": None,
        "obs_eps": None,
        "out_affine": False,
        "time_feature": False,
        "task": environment_id.partition("-v")[0],
    }
    save_policy(path, meta, arrays)


def layers_of(state: Mapping[str, NDArray[Any]]) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Weight [out, in] and bias [out] of each layer of the actor in one seed's learning state."""
    prefix = "params/actor/"
    actor = {
        name.removeprefix(prefix): np.asarray(values)[0]
        for name, values in state.items()
        if name.startswith(prefix)
    }
    count = sum(name.startswith("weight_") for name in actor)
    return [(actor[f"weight_{i}"].T, actor[f"bias_{i}"][0]) for i in range(count)]
