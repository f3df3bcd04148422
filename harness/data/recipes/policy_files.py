"""Policies in `.npz` files: small multilayer perceptrons with a Gaussian head (NumPy only).

They are looked for in the folder `HARNESS_POLICIES`, or `shared/data/policies` beside the
repository, whose MANIFEST.md describes the format. This reads all of it but the time feature.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.local_files import local_file
from harness.errors import UserError

Floats = NDArray[np.float64]
Layer = tuple[Floats, Floats]  # weight [out, in] and bias [out]

_ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0.0),
    "none": lambda x: x,
}


@dataclass(frozen=True)
class GaussianPolicy:
    """A Gaussian over actions, squashed by tanh or not, before they are clipped.

    Attributes:
        activation: of the hidden layers.
        hidden: weight [out, in] and bias [out] of each hidden layer.
        mean_head: weight and bias of the mean.
        log_std_head: weight and bias of the log standard deviation, clipped to `log_std_range`;
            None where it is the constant `log_std` [action_dim].
        shift: [obs_dim], subtracted from observations.
        scale: [obs_dim], observations are divided by it, then clipped to `clip` either way.
        head_shift: [action_dim], added to the mean head's output,
        head_scale: [action_dim], which is multiplied by this before.
        squashed: whether actions are the tanh of the Gaussian.
    """

    activation: Callable[[Floats], Floats]
    hidden: tuple[Layer, ...]
    mean_head: Layer
    log_std_head: Layer | None
    log_std: Floats
    log_std_range: tuple[float, float]
    shift: Floats
    scale: Floats
    clip: float
    head_shift: Floats
    head_scale: Floats
    squashed: bool

    def gaussian(self, observation: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation before squashing. [obs_dim] -> [action_dim] twice."""
        x = np.clip((observation - self.shift) / self.scale, -self.clip, self.clip)
        for weight, bias in self.hidden:
            x = self.activation(weight @ x + bias)
        weight, bias = self.mean_head
        mean = (weight @ x + bias) * self.head_scale + self.head_shift
        if self.log_std_head is None:
            return mean, np.exp(self.log_std)
        weight, bias = self.log_std_head
        return mean, np.exp(np.clip(weight @ x + bias, *self.log_std_range))

    def sample(self, observation: Floats, rng: np.random.Generator) -> Floats:
        """[obs_dim] -> [action_dim], not clipped."""
        mean, std = self.gaussian(observation)
        action = mean + std * rng.standard_normal(len(mean))
        return np.tanh(action) if self.squashed else action


def policy_file(name: str) -> Path:
    """Where a policy lies. Raises UserError if it is not on this machine."""
    return local_file("HARNESS_POLICIES", "policies", f"{name}.npz", f"The policy {name}")


def load_policy(path: Path) -> GaussianPolicy:
    """Read a policy. Raises UserError for one that needs to know the time."""
    with np.load(path, allow_pickle=False) as file:
        meta: dict[str, Any] = json.loads(str(file["meta"]))
        arrays = {name: file[name].astype(np.float64) for name in file.files if name != "meta"}
    if meta["time_feature"]:
        raise UserError(f"{path} is a policy that observes the time: recipes do not roll out such.")
    layers = [(arrays[f"W{i}"], arrays[f"b{i}"]) for i in range(meta["n_layers"])]
    obs_dim, action_dim = layers[0][0].shape[1], len(layers[-1][1])
    shifted, affine = "obs_shift" in arrays, meta["out_affine"]
    heads = "W_log_std" in arrays
    return GaussianPolicy(
        activation=_ACTIVATIONS[meta["activation"]],
        hidden=tuple(layers[:-1]),
        mean_head=layers[-1],
        log_std_head=(arrays["W_log_std"], arrays["b_log_std"]) if heads else None,
        log_std=arrays.get("log_std", np.full(action_dim, -np.inf)),
        log_std_range=tuple(meta.get("log_std_clip", (-np.inf, np.inf))),
        shift=arrays["obs_shift"] if shifted else np.zeros(obs_dim),
        scale=arrays["obs_scale"] + meta["obs_eps"] if shifted else np.ones(obs_dim),
        clip=meta.get("obs_clip") or np.inf,
        head_shift=arrays["out_shift"] if affine else np.zeros(action_dim),
        head_scale=arrays["out_scale"] if affine else np.ones(action_dim),
        squashed=meta["squash"] == "tanh",
    )
