"""Made-up inputs for trying a method's losses, small, and of sizes that cannot be confused.

Shapes: `S` seeds, `B` transitions, `E` observations to act on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from algorithms.base import Algorithm, Batch, History, Networks, NoiseSpec
from algorithms.engine.streams import draw, generator
from algorithms.errors import AlgorithmError, nearest
from algorithms.networks import Params

_TARGET_SHRINK = 0.9  # so that an average is told from its network


class Sizes(NamedTuple):
    """Of a trial; all different, and different from every other size of a method."""

    seeds: int
    transitions: int
    observations: int

    @classmethod
    def free(cls, taken: set[int]) -> Sizes:
        """The smallest sizes not in `taken`; transitions in fours, as losses may divide them."""
        free = [n for n in range(3, 1000) if n not in taken]
        seeds = next(n for n in free if n + 1 in free)
        transitions = next(n for n in free if n % 4 == 0 and n > seeds + 1)
        observations = next(n for n in free if n > seeds + 1 and n != transitions)
        return cls(seeds, transitions, observations)

    def shape(self, shape: Sequence[int]) -> str:
        """`[S, B]` for the sizes of a trial; others are given as they are."""
        names = {self.seeds: "S", self.transitions: "B", self.observations: "E"}
        return f"[{', '.join(names.get(n, str(n)) for n in shape)}]"


class DeclaredNoise(dict[str, Tensor]):
    """Noise by name, which knows what to say of a name that is not declared."""

    def __init__(self, noise: Mapping[str, Tensor], declaration: str) -> None:
        super().__init__(noise)
        self._declaration = declaration

    def __missing__(self, name: str) -> Tensor:
        raise AlgorithmError(
            f"noise['{name}'] is not declared in {self._declaration}"
            f" (it has {', '.join(self) or 'nothing'}).{nearest(name, self)}"
        )


@dataclass(frozen=True)
class Inputs:
    """What losses and `act` are given, for some seeds."""

    params: dict[str, Params]
    targets: dict[str, Params]
    batch: Batch
    noise: DeclaredNoise
    observations: Tensor | History  # [S, E, ...], what `act` acts on
    act_noise: DeclaredNoise

    def after(self, first: int) -> Inputs:
        """Of all seeds but the `first` few."""
        return Inputs(
            params=_slots(self.params, first),
            targets=_slots(self.targets, first),
            batch=self.batch.map(lambda field: field[first:]),
            noise=DeclaredNoise({k: v[first:] for k, v in self.noise.items()}, "self.noise"),
            observations=_each(self.observations, lambda x: x[first:]),
            act_noise=DeclaredNoise(
                {k: v[first:] for k, v in self.act_noise.items()}, "self.act_noise"
            ),
        )

    def copied(self) -> Inputs:
        """With a batch and noise of its own, which a loss may change in place."""
        return Inputs(
            params=self.params,
            targets=self.targets,
            batch=self.batch.map(torch.clone),
            noise=DeclaredNoise({k: v.clone() for k, v in self.noise.items()}, "self.noise"),
            observations=_each(self.observations, torch.clone),
            act_noise=DeclaredNoise(
                {k: v.clone() for k, v in self.act_noise.items()}, "self.act_noise"
            ),
        )

    def nets(self, method: Algorithm[Any], trained: Mapping[str, Params] | None = None) -> Networks:
        """The networks as a loss sees them, with the `trained` ones' parameters if given."""
        params = {**self.params, **(trained or {})}
        return Networks(method.networks, params, self.params, self.targets)


def make_inputs(method: Algorithm[Any], sizes: Sizes, seeds: int) -> Inputs:
    """Inputs of `seeds` seeds; a seed's do not depend on how many there are."""
    streams = [generator("preflight", seed) for seed in range(seeds)]
    params = {
        name: _stack(network.init(generator("preflight", s, name)) for s in range(seeds))
        for name, network in method.networks.items()
    }
    return Inputs(
        params=params,
        targets={
            name: {key: _TARGET_SHRINK * value for key, value in params[name].items()}
            for name in method.targets
        },
        batch=_batch(method, streams, sizes.transitions),
        noise=DeclaredNoise(_noise(method.noise, streams, sizes.transitions), "self.noise"),
        observations=_seen(method, streams, sizes.observations),
        act_noise=DeclaredNoise(
            _noise(method.act_noise, streams, sizes.observations), "self.act_noise"
        ),
    )


def online_batch(batch: Batch) -> Batch:
    """As it is while a method without `online_returns` interacts: its own have none (NaN)."""
    own = torch.arange(batch.returns.shape[1]) % 2 == 1
    return batch._replace(returns=batch.returns.masked_fill(own, torch.nan))


def _batch(method: Algorithm[Any], streams: Sequence[torch.Generator], count: int) -> Batch:
    """Data as they are after normalisation: normal, with actions inside their bounds."""
    shape = (count, method.context) if method.context else (count,)
    goes_on = (torch.arange(count) % 4 != 0).float()  # 0 in one of four transitions
    goes_on = goes_on.view(-1, *[1] * (len(shape) - 1)).expand(len(streams), *shape).clone()

    def normal(*dims: int) -> Tensor:
        return _normal(streams, *shape, *dims)

    steps = torch.arange(count).view(-1, *[1] * (len(shape) - 1))
    steps = steps + torch.arange(method.context) if method.context else steps
    columns = [item for stage in method.stages for item in stage.columns.items()]
    return Batch(
        observations=normal(method.obs_dim),
        actions=normal(method.action_dim).tanh(),
        rewards=normal(),
        next_observations=normal(method.obs_dim),
        masks=goes_on,
        returns=normal(),
        previous_actions=normal(method.action_dim).tanh() * goes_on.unsqueeze(-1),
        next_actions=normal(method.action_dim).tanh() * goes_on.unsqueeze(-1),
        has_next=goes_on,
        steps=steps.expand(len(streams), *shape).clone(),
        valid=torch.ones_like(goes_on),
        columns={name: normal(column.dim) if column.dim else normal() for name, column in columns},
    )


def _seen(
    method: Algorithm[Any], streams: Sequence[torch.Generator], count: int
) -> Tensor | History:
    """What `count` actions are for."""
    if not method.context:
        return _normal(streams, count, method.obs_dim)
    shape = (count, method.context)
    past = torch.arange(method.context) < method.context - 1
    rewards = _normal(streams, *shape) * past
    return History(
        observations=_normal(streams, *shape, method.obs_dim),
        actions=_normal(streams, *shape, method.action_dim).tanh() * past.unsqueeze(-1),
        rewards=rewards,
        earned=rewards.cumsum(-1) - rewards,
        steps=torch.arange(method.context).expand(len(streams), *shape).clone(),
    )


def _noise(specs: NoiseSpec, streams: Sequence[torch.Generator], count: int) -> dict[str, Tensor]:
    return draw(specs, streams, (count,))


def _normal(streams: Sequence[torch.Generator], *shape: int) -> Tensor:
    """[S, *shape]."""
    return torch.stack([torch.randn(*shape, generator=stream) for stream in streams])


def _each(seen: Tensor | History, change: Callable[[Tensor], Tensor]) -> Tensor | History:
    return change(seen) if isinstance(seen, Tensor) else History(*map(change, seen))


def _stack(seeds: Iterator[Params]) -> Params:
    params = list(seeds)
    return {key: torch.stack([seed[key] for seed in params]) for key in params[0]}


def _slots(networks: Mapping[str, Params], first: int) -> dict[str, Params]:
    return {name: {k: v[first:] for k, v in params.items()} for name, params in networks.items()}
