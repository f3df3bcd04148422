"""What the tests of flow policies share: a quadratic value, bound networks, leaves, roll-outs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from algorithms.base import Algorithm, Networks, Normal
from algorithms.networks import Params
from tests.algorithms.reference import Function, closed_form, random_noise, random_params
from tests.algorithms.small import ACTION_DIM


@dataclass(frozen=True)
class QuadraticQ:
    """Q(s, a) = −|a − goal|², the twins alike: a task's closed-form Q as the engine takes it."""

    goal: tuple[float, ...]

    def init(self, generator: torch.Generator) -> Params:
        return {"goal": torch.tensor(self.goal).view(1, 1, -1)}

    def __call__(self, params: Params, observations: Tensor, actions: Tensor) -> Tensor:
        q = -(actions - params["goal"].flatten(0, 1)).square().sum(-1)
        return q.unsqueeze(1).expand(-1, 2, -1)


def on_a_quadratic(
    live: Mapping[str, Function],
    goal: Tensor,
    behavior: Function,
    factor: float = 1.0,
    **kinds: Mapping[str, Function],
) -> Networks:
    """Q = −factor |a − goal|², the twins alike, V = 0, and C = 0 unless given."""

    def critic(_s: Tensor, a: Tensor) -> Tensor:
        return -factor * (a - goal).square().sum(-1).unsqueeze(1).expand(-1, 2, -1)

    functions = {
        "flow_critic": lambda _s, x, _t: torch.zeros(x.shape[:2]),
        "critic": critic,
        "value": lambda s: torch.zeros(s.shape[:2]),
        "behavior": behavior,
        **live,
    }
    return closed_form(functions, **kinds)


def bind(algorithm: Algorithm[Any], name: str, params: Params) -> Function:
    """A network of the algorithm with these parameters, as a function of its inputs."""
    return lambda *inputs: algorithm.networks[name](params, *inputs)


def leaves(
    algorithm: Algorithm[Any], seeds: int
) -> tuple[dict[str, Params], dict[str, Params], Networks]:
    """Trained parameters that take gradients, different target parameters, and the networks."""
    trained = random_params(algorithm.networks, seeds)
    frozen = {name: {k: v.clone() for k, v in ps.items()} for name, ps in trained.items()}
    for params in trained.values():
        for value in params.values():
            value.requires_grad_()
    targets = random_params(algorithm.networks, seeds, stream=1)
    return trained, targets, Networks(algorithm.networks, trained, frozen, targets)


def reached_by_gradients(trained: Mapping[str, Params]) -> set[str]:
    """The networks of which some parameter has received a gradient."""
    return {name for name, ps in trained.items() if any(p.grad is not None for p in ps.values())}


def start_noise(seeds: int, size: int, stream: int = 5) -> dict[str, Tensor]:
    """x_0 `[S, B, action_dim]`, as a loss or a policy takes it."""
    return random_noise({"x0": Normal(ACTION_DIM)}, seeds, size, stream)
