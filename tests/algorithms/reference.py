"""What the tests of learning compare with: plain `torch.nn` modules and closed-form networks."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from algorithms import registry
from algorithms.base import (
    Algorithm,
    Batch,
    Key,
    Networks,
    Noise,
    NoiseSpec,
    Normal,
)
from algorithms.engine.engine import Engine
from algorithms.networks import MLP, Params
from tests.algorithms.small import ACTION_DIM, OBS_DIM

_ACTIVATIONS = {
    "relu": nn.ReLU(),
    "silu": nn.SiLU(),
    "gelu": nn.GELU(approximate="tanh"),
    "mish": nn.Mish(),
}


def members(network: MLP, params: Mapping[str, Any]) -> list[nn.Sequential]:
    """The network as `torch.nn` modules, one an ensemble member. params: one seed's `[E, ...]`."""
    modules = []
    for e in range(network.ensemble):
        layers: list[nn.Module] = []
        for i in range(len(network.hidden_dims) + 1):
            weight, bias = (
                torch.as_tensor(params[f"{name}_{i}"][e]).clone() for name in ("weight", "bias")
            )
            linear = nn.Linear(*weight.shape)
            linear.weight.data, linear.bias.data = weight.T.contiguous(), bias[0]
            layers.append(linear)
            if i == len(network.hidden_dims):
                break
            after: list[nn.Module] = [_ACTIVATIONS[network.activation]]
            if network.layer_norm:
                norm = nn.LayerNorm(network.hidden_dims[i], eps=1e-6)
                norm.weight.data = torch.as_tensor(params[f"scale_{i}"][e, 0]).clone()
                norm.bias.data = torch.as_tensor(params[f"shift_{i}"][e, 0]).clone()
                after.insert(0 if network.norm_first else 1, norm)
            layers += after
        modules.append(nn.Sequential(*layers))
    return modules


def params_of(engine: Engine, name: str, slot: int, group: str = "params") -> dict[str, Any]:
    """A network's parameters, of the seed in `slot`, each `[E, ...]`."""
    prefix = f"{group}/{name}/"
    state = engine.state(slot).items()
    return {key.removeprefix(prefix): v for key, v in state if key.startswith(prefix)}


def learned(engine: Engine, name: str, slot: int, group: str = "params") -> nn.ModuleList:
    """A network of the seed in `slot` as modules, one an ensemble member."""
    params = params_of(engine, name, slot, group)
    return nn.ModuleList(members(engine.algorithm.networks[name], params))


def assert_same_weights(actual: nn.Module, expected: nn.Module) -> None:
    pairs = zip(actual.parameters(), expected.parameters(), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-6)


def polyak(target: nn.Module, source: nn.Module, tau: float) -> None:
    for old, new in zip(target.parameters(), source.parameters(), strict=True):
        old.data = (1 - tau) * old.data + tau * new.data


def q_values(critic: nn.ModuleList, s: Tensor, a: Tensor) -> Tensor:
    """Q by every member. s: [B, obs_dim], a: [B, action_dim]. -> [members, B]."""
    return torch.stack([member(torch.cat([s, a], 1))[:, 0] for member in critic])


def adam_step(adam: torch.optim.Optimizer, loss: Tensor, max_norm: float = math.inf) -> float:
    """Take a step with gradients clipped to `max_norm`; their norm before that."""
    adam.zero_grad()
    loss.backward()
    parameters = [p for group in adam.param_groups for p in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, max_norm)
    adam.step()
    return float(norm)


def record(engine: Engine) -> list[tuple[Batch, Noise]]:
    """What every later update of an uncompiled engine sees; filled while it trains.

    Online updates as well, where their first phase is an offline one's.
    """
    seen: list[tuple[Batch, Noise]] = []
    for phase in {
        id(p): p for p in (stage.phases[0] for stage in engine.algorithm.stages)
    }.values():

        def loss(nets: Networks, batch: Batch, noise: Noise, own: Any = phase.loss) -> Any:
            seen.append((batch, noise))
            return own(nets, batch, noise)

        object.__setattr__(phase, "loss", loss)  # frozen for algorithms, not for a spy
    return seen


def of_seed(seen: list[tuple[Batch, Noise]], slot: int) -> Iterator[tuple[Batch, Noise]]:
    """One seed's part of what `record` returned, without the seed axis."""
    for batch, noise in seen:
        yield batch.map(functools.partial(_slot, slot=slot)), {k: v[slot] for k, v in noise.items()}


def _slot(field: Tensor, slot: int) -> Tensor:
    return field[slot]


def make_algorithm(algorithm_id: str, **overrides: Any) -> Algorithm[Any]:
    """A narrow algorithm by itself, for its losses."""
    config = registry.resolve_config(algorithm_id, {"hidden_dims": (8, 8), **overrides})
    return registry.load(algorithm_id)(config, OBS_DIM, ACTION_DIM)


def random_params(networks: Mapping[str, Any], seeds: int, stream: int = 0) -> dict[str, Params]:
    """Parameters `[S, E, ...]` of every network, none of them at a special value such as 1 or 0."""
    generator = torch.Generator().manual_seed(stream)
    return {
        name: {
            key: torch.stack(
                [v + 0.1 * torch.randn(v.shape, generator=generator) for _ in range(seeds)]
            )
            for key, v in network.init(generator).items()
        }
        for name, network in networks.items()
    }


def random_noise(specs: NoiseSpec, seeds: int, size: int, stream: int = 5) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(stream)
    noise = {}
    for name, spec in specs.items():
        if isinstance(spec, Key):
            noise[name] = torch.randint(2**32, (seeds,), generator=generator)
            continue
        draw = torch.randn if isinstance(spec, Normal) else torch.rand
        noise[name] = draw(seeds, size, spec.dim, generator=generator)
    return noise


def random_batch(seeds: int, size: int, algorithm: Algorithm[Any] | None = None) -> Batch:
    """Every third transition is terminal; for a method with a context, of windows.

    Windows end after one to L of their transitions, and what is past their end is zero.
    """
    context = algorithm.context if algorithm else 0
    shape = (seeds, size, context) if context else (seeds, size)
    generator = torch.Generator().manual_seed(99)
    obs, next_obs = torch.randn(2, *shape, OBS_DIM, generator=generator)
    actions = 2 * torch.rand(*shape, ACTION_DIM, generator=generator) - 1
    rewards = torch.randn(*shape, generator=generator)
    row = torch.arange(size).view(-1, *[1] * (len(shape) - 2))
    masks = (row % 3 != 2).float().expand(shape)
    returns = torch.randn(*shape, generator=generator)
    previous_actions = 2 * torch.rand(*shape, ACTION_DIM, generator=generator) - 1
    next_actions = 2 * torch.rand(*shape, ACTION_DIM, generator=generator) - 1
    has_next = (row % 4 != 1).float().expand(shape)
    time = torch.arange(context) if context else torch.tensor(0)
    valid = (time <= row % context if context else torch.ones(size)).float().expand(shape)
    batch = Batch(
        observations=obs,
        actions=actions,
        rewards=rewards,
        next_observations=next_obs,
        masks=masks,
        returns=returns,
        previous_actions=previous_actions,
        next_actions=next_actions * has_next.unsqueeze(-1),
        has_next=has_next,
        steps=(row + time).expand(shape),
        valid=valid,
        columns={
            name: torch.randn(*shape, *([column.dim] if column.dim else []), generator=generator)
            for stage in (algorithm.stages if algorithm else ())
            for name, column in stage.columns.items()
        },
    )
    if not context:
        return batch
    return batch.map(lambda x: x * valid.view(*shape, *[1] * (x.ndim - 3)).to(x.dtype))


def batch_of(
    observations: Tensor,
    actions: Tensor,
    rewards: Tensor,
    next_observations: Tensor,
    masks: Tensor,
    returns: Tensor,
) -> Batch:
    """Single transitions of which nothing else is known."""
    return Batch(
        observations=observations,
        actions=actions,
        rewards=rewards,
        next_observations=next_observations,
        masks=masks,
        returns=returns,
        previous_actions=torch.zeros_like(actions),
        next_actions=torch.zeros_like(actions),
        has_next=torch.zeros_like(rewards),
        steps=torch.zeros_like(rewards, dtype=torch.int64),
        valid=torch.ones_like(rewards),
        columns={},
    )


Function = Callable[..., Tensor]


def closed_form(
    trained: Mapping[str, Function],
    *,
    frozen: Mapping[str, Function] | None = None,
    target: Mapping[str, Function] | None = None,
) -> Networks:
    """Networks that are plain functions of their inputs, without dropout.

    All three kinds are alike unless given.
    """
    kinds = [
        {name: {"call": function} for name, function in functions.items()}
        for functions in (trained, {**trained, **(frozen or {})}, {**trained, **(target or {})})
    ]
    specs = {name: _call for kind in kinds for name in kind}
    return Networks(specs, *kinds)  # type: ignore[arg-type]


def _call(
    params: Mapping[str, Function],
    *inputs: Tensor,
    key: Tensor | None = None,
) -> Tensor:
    return params["call"](*inputs)
