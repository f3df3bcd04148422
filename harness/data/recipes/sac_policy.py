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
    prefix = "params/actor/"
    actor = {
        name.removeprefix(prefix): np.asarray(values)[0]
        for name, values in state.items()
        if name.startswith(prefix)
    }
    layers = sum(name.startswith("weight_") for name in actor)
    arrays: dict[str, NDArray[Any]] = {}
    for i in range(layers - 1):
        arrays |= {f"W{i}": actor[f"weight_{i}"].T, f"b{i}": actor[f"bias_{i}"][0]}
    last = layers - 1
    mean_weight, std_weight = np.split(actor[f"weight_{last}"].T, 2)
    mean_bias, std_bias = np.split(actor[f"bias_{last}"][0], 2)
    arrays |= {f"W{last}": mean_weight, f"b{last}": mean_bias}
    arrays |= {"W_log_std": std_weight, "b_log_std": std_bias}
    meta = {
        "algorithm": "SAC",
        "activation": "relu",
        "squash": "tanh",
        "n_layers": layers,
        "std_floor": _STD_FLOOR,
        "obs_clip": None,
        "obs_eps": None,
        "out_affine": False,
        "time_feature": False,
        "task": environment_id.partition("-v")[0],
    }
    save_policy(path, meta, arrays)
