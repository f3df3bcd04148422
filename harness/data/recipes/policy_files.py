"""Policies in `.npz` files: small multilayer perceptrons with a Gaussian head (NumPy only).

They are looked for in the folder `HARNESS_POLICIES`, or in `local/policies` of the data root. A
file holds
    W0, b0, W1, …            its layers, weights [out, in]; the last one is the mean's
    obs_shift, obs_scale     [obs_dim], where observations are normalised
    out_shift, out_scale     [action_dim], where `out_affine` is true
    log_std                  [action_dim], or W_log_std, b_log_std on the last hidden layer, of
                             which σ is the exponential, or the softplus where `std_floor` is given
    meta                     a JSON text: n_layers; activation (tanh, relu, none); squash (tanh,
                             none); out_affine, time_feature (true, false); obs_eps, obs_clip,
                             log_std_clip (if there are such); std_floor (σ is softplus(·) + this);
                             task (what it acts in, if known)
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.local_files import POLICIES
from harness.errors import UserError
from harness.files import write_bytes

FORMAT = "mlp-policy-1"
TIME_SCALE = 1000  # steps in which the time that a policy sees goes from 1 to 0

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
        std_head: weight and bias of that which `deviation` makes the standard deviation of; None
            where it is the constant exp(`log_std`) [action_dim].
        shift: [obs_dim], subtracted from observations.
        scale: [obs_dim], observations are divided by it, then clipped to `clip` either way.
        head_shift: [action_dim], added to the mean head's output,
        head_scale: [action_dim], which is multiplied by this before.
        squashed: whether actions are the tanh of the Gaussian.
        sees_time: whether the last of its observations is 1 - step / 1000.
    """

    activation: Callable[[Floats], Floats]
    hidden: tuple[Layer, ...]
    mean_head: Layer
    std_head: Layer | None
    deviation: Callable[[Floats], Floats]
    log_std: Floats
    shift: Floats
    scale: Floats
    clip: float
    head_shift: Floats
    head_scale: Floats
    squashed: bool
    sees_time: bool

    @property
    def dims(self) -> tuple[int, int]:
        """Lengths of an environment's observation and of an action."""
        first, *_ = (*self.hidden, self.mean_head)
        return first[0].shape[1] - self.sees_time, len(self.mean_head[1])

    def gaussian(self, observation: Floats, step: int = 0) -> tuple[Floats, Floats]:
        """Mean and standard deviation before squashing. [obs_dim] -> [action_dim] twice.

        step: of the episode, from 0, for policies that see the time.
        """
        if self.sees_time:
            observation = np.append(observation, 1 - step / TIME_SCALE)
        x = np.clip((observation - self.shift) / self.scale, -self.clip, self.clip)
        for weight, bias in self.hidden:
            x = self.activation(weight @ x + bias)
        weight, bias = self.mean_head
        mean = (weight @ x + bias) * self.head_scale + self.head_shift
        if self.std_head is None:
            return mean, np.exp(self.log_std)
        weight, bias = self.std_head
        return mean, self.deviation(weight @ x + bias)

    def sample(self, observation: Floats, rng: np.random.Generator, step: int = 0) -> Floats:
        """[obs_dim] -> [action_dim], not clipped."""
        mean, std = self.gaussian(observation, step)
        return self._squash(mean + std * rng.standard_normal(len(mean)))

    def mean(self, observation: Floats, step: int = 0) -> Floats:
        """The action without noise. [obs_dim] -> [action_dim], not clipped."""
        return self._squash(self.gaussian(observation, step)[0])

    def _squash(self, action: Floats) -> Floats:
        return np.tanh(action) if self.squashed else action


def policy_file(name: str) -> Path:
    """Where a policy lies. Raises UserError if it is not on this machine."""
    return POLICIES.file(f"{name}.npz", f"The policy {name}")


def load_policy(path: Path) -> GaussianPolicy:
    """Read a policy. Raises UserError for a file that holds none."""
    return _load(path)[0]


def policy_environment(path: Path) -> str | None:
    """What a policy's file says it acts in, in small letters, such as `hopper`; None if nothing.

    Raises UserError as `load_policy` does.
    """
    task = _load(path)[1].get("task")
    return task.lower() if isinstance(task, str) else None


def save_policy(
    path: Path, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[np.floating[Any]]]
) -> None:
    """Write a policy whole or not at all; the same policy always gives the same bytes."""
    content = io.BytesIO()
    text = json.dumps({"format": FORMAT, **meta}, sort_keys=True)
    np.savez(content, meta=np.array(text), **arrays)  # type: ignore[arg-type]
    write_bytes(path, content.getvalue())


def _load(path: Path) -> tuple[GaussianPolicy, dict[str, Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            meta: dict[str, Any] = json.loads(str(file["meta"]))
            arrays = {name: file[name].astype(np.float64) for name in file.files if name != "meta"}
        return _policy(meta, arrays), meta
    except Exception as error:  # of the zip, of an array, of its header: damage has many kinds
        # Of what is no zip NumPy says that it may be loaded unsafely.
        why = f" ({error})" if zipfile.is_zipfile(path) else ""
        raise UserError(
            f"{path} is no policy file of the format {FORMAT}{why}. Give the path of one."
        ) from error


def _policy(meta: dict[str, Any], arrays: dict[str, Floats]) -> GaussianPolicy:
    layers = [(arrays[f"W{i}"], arrays[f"b{i}"]) for i in range(meta["n_layers"])]
    obs_dim, action_dim = layers[0][0].shape[1], len(layers[-1][1])
    shifted, affine = "obs_shift" in arrays, meta["out_affine"]
    heads = "W_log_std" in arrays
    return GaussianPolicy(
        activation=_ACTIVATIONS[meta["activation"]],
        hidden=tuple(layers[:-1]),
        mean_head=layers[-1],
        std_head=(arrays["W_log_std"], arrays["b_log_std"]) if heads else None,
        deviation=_deviation(meta),
        log_std=arrays.get("log_std", np.full(action_dim, -np.inf)),
        shift=arrays["obs_shift"] if shifted else np.zeros(obs_dim),
        scale=arrays["obs_scale"] + meta["obs_eps"] if shifted else np.ones(obs_dim),
        clip=meta.get("obs_clip") or np.inf,
        head_shift=arrays["out_shift"] if affine else np.zeros(action_dim),
        head_scale=arrays["out_scale"] if affine else np.ones(action_dim),
        squashed=meta["squash"] == "tanh",
        sees_time=meta["time_feature"],
    )


def _deviation(meta: Mapping[str, Any]) -> Callable[[Floats], Floats]:
    """What makes a standard deviation of its head's output."""
    if "std_floor" in meta:
        floor = float(meta["std_floor"])
        return lambda x: np.logaddexp(0.0, x) + floor
    low, high = meta.get("log_std_clip", (-np.inf, np.inf))
    return lambda x: np.exp(np.clip(x, low, high))
