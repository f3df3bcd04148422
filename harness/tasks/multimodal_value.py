"""The multimodal tasks' Q as a network that is never trained, exact or wrong in a chosen way."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from algorithms.engine.seeding import derive_seed
from harness.tasks.multimodal_geometry import ActionModes, observations_of, turned
from harness.tasks.spec import TaskSpec

Params = dict[str, Tensor]

FEATURES = 128  # of the random function
SAMPLES = 50_000  # behaviour actions that standard deviations are measured on


@dataclass(frozen=True)
class KnownQ:
    """Q(s, a) as twins that agree, with what is added to it.

    Called with observations `[S, B, 2]` and actions `[S, B, d]` it returns `[S, 2, B]`.

    Attributes:
        constants: `centres` [1, K, d], `rewards` [1, K] and, for a noisy Q, the random function's
            `frequencies` [1, 2 + d, F], `phases` [1, 1, F] and `amplitude` [1, 1].
        spread: width of a mode's bump.
        radius: of the support around a centre.
        slope: added for every such radius that an action is outside the support.
    """

    constants: Params
    spread: float
    radius: float
    slope: float

    def init(self, generator: torch.Generator) -> Params:
        """The constants, the same for every seed."""
        return dict(self.constants)

    def __call__(self, params: Params, *inputs: Tensor) -> Tensor:
        observations, actions = inputs
        centres, rewards = params["centres"][:, 0], params["rewards"][:, 0]
        offsets = _turned_back(observations, actions).unsqueeze(2) - centres.unsqueeze(1)
        squares = offsets.square().sum(-1)  # [S, B, K]
        bumps = torch.exp(squares * (-0.5 / self.spread**2))
        q = (rewards.unsqueeze(1) * bumps).amax(-1)
        if "frequencies" in params:
            q = q + random_function(params, observations, actions)
        if self.slope:
            # Clipped before the root, whose gradient at a centre would not be finite.
            outside = squares.amin(-1).clamp(min=self.radius**2).sqrt() / self.radius - 1
            q = q + self.slope * outside
        return q.unsqueeze(1).expand(-1, 2, -1)


def known_q(task: TaskSpec) -> KnownQ:
    """The Q that algorithms are given in a multimodal task, with the task's corruption."""
    modes = ActionModes.of(task)
    noise, bias = task.values["q_noise"], task.values["q_bias"]
    constants = {
        "centres": _tensor(modes.centres)[None],
        "rewards": _tensor(modes.rewards)[None],
    }
    radius = modes.support_radius * modes.sigma
    if noise == bias == 0:
        return KnownQ(constants, modes.spread, radius, slope=0.0)
    seed = derive_seed("known q", "multimodal", str(task.dataset.params["seed"]))
    rng = np.random.default_rng(seed)
    canonical = modes.sample(SAMPLES, rng)
    sd = float(modes.value(canonical).std())
    if noise:
        observations = observations_of(rng.uniform(0, modes.turn, SAMPLES))
        actions = turned(observations, canonical)
        constants |= _noise(modes, rng)
        unscaled = random_function(
            {name: value[None] for name, value in constants.items()},
            _tensor(observations)[None],
            _tensor(actions)[None],
        )
        constants["amplitude"] = torch.full((1, 1), noise * sd / float(unscaled.std()))
    return KnownQ(constants, modes.spread, radius, slope=bias * sd)


def random_function(params: Params, observations: Tensor, actions: Tensor) -> Tensor:
    """A sum of cosines, nearly a Gaussian process. [S, B, 2], [S, B, d] -> [S, B]."""
    inputs = torch.cat([observations, actions], -1)
    waves = torch.cos(inputs @ params["frequencies"][:, 0] + params["phases"][:, 0])
    return params["amplitude"][:, 0] * waves.sum(-1)


def _noise(modes: ActionModes, rng: np.random.Generator) -> Params:
    """The random function, before scaling: length scale 1 in the observation and, in the action,
    the root mean square distance of two actions of one mode (2 sigma in 2-D)."""
    lengths = np.full((2 + modes.dim, 1), math.sqrt(2) * modes.spread)
    lengths[:2] = 1.0
    return {
        "frequencies": _tensor(rng.standard_normal((2 + modes.dim, FEATURES)) / lengths)[None],
        "phases": _tensor(rng.uniform(0, 2 * math.pi, (1, FEATURES)))[None],
        "amplitude": torch.ones(1, 1),
    }


def _turned_back(observations: Tensor, actions: Tensor) -> Tensor:
    """Canonical coordinates. [S, B, 2], [S, B, d] -> [S, B, d]."""
    cosine, sine = observations[..., :1], observations[..., 1:]
    x, y, rest = actions[..., :1], actions[..., 1:2], actions[..., 2:]
    return torch.cat([cosine * x + sine * y, cosine * y - sine * x, rest], -1)


def _tensor(array: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> Tensor:
    return torch.from_numpy(np.asarray(array, np.float32))
