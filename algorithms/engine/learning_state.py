"""Everything that training changes: parameters, their averages, Adam's moments, update counts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.base import Algorithm
from algorithms.engine.streams import generator
from algorithms.networks import Params

SeedState = dict[str, NDArray[Any]]
"""One seed's learning state without the seed axis, as it is saved."""


@dataclass(frozen=True)
class LearningState:
    """Stacked state of `S` slots; every tensor is `[S, ...]` and changes in place."""

    params: dict[str, Params]
    targets: dict[str, Params]  # Polyak averages
    means: dict[str, Params]  # Adam's first moments
    squares: dict[str, Params]  # Adam's second moments
    counts: dict[str, int]  # updates of each network so far

    @classmethod
    def create(
        cls, algorithm: Algorithm[Any], seeds: Sequence[int], device: torch.device
    ) -> LearningState:
        """The state before the first update, each seed from its own streams."""
        params = {
            name: _stack([network.init(generator("init", s, name)) for s in seeds], device)
            for name, network in algorithm.networks.items()
        }
        return cls(
            params=params,
            targets={name: _map(params[name], torch.clone) for name in algorithm.targets},
            means={name: _map(params[name], torch.zeros_like) for name in algorithm.optimizers},
            squares={name: _map(params[name], torch.zeros_like) for name in algorithm.optimizers},
            counts=dict.fromkeys(algorithm.optimizers, 0),
        )

    def copy_networks(self, copies: Mapping[str, str]) -> None:
        """network <- target average of another network, and its own average likewise."""
        for name, source in copies.items():
            for key, value in self.targets[source].items():
                self.params[name][key].copy_(value)
                if name in self.targets:
                    self.targets[name][key].copy_(value)

    def with_copies(self, copies: Mapping[str, str]) -> tuple[dict[str, Params], dict[str, Params]]:
        """The parameters and averages that `copy_networks` would leave, nothing changed yet."""
        params, targets = dict(self.params), dict(self.targets)
        for name, source in copies.items():
            params[name] = targets[source]
            if name in targets:
                targets[name] = targets[source]
        return params, targets

    def of_slot(self, slot: int, networks: Collection[str] | None = None) -> SeedState:
        """A copy of one slot's state, of the given networks or all."""
        tensors = {k: v[slot].cpu().numpy().copy() for k, v in self._named(networks).items()}
        return tensors | {k: np.array(v) for k, v in self._named_counts(networks).items()}

    def is_finite(self) -> dict[str, list[bool]]:
        """For every network, in which slots its parameters are finite."""
        # A sum reads the parameters once, and is finite if and only if all of them are.
        sums = {
            name: torch.stack([value.flatten(1).sum(1) for value in params.values()])
            for name, params in self.params.items()
            if params
        }
        return {name: found.isfinite().all(0).tolist() for name, found in sums.items()}

    def load(self, states: Sequence[SeedState], networks: Collection[str] | None = None) -> None:
        """Take over one saved state a slot, of the given networks or all.

        Raises ValueError, before anything is changed, for states of another algorithm or config.
        """
        named = self._named(networks)
        expected = {(key, tuple(value.shape[1:])) for key, value in named.items()}
        expected |= {(key, ()) for key in self._named_counts(networks)}
        for state in states:
            wrong = expected ^ {(key, np.shape(value)) for key, value in state.items()}
            if wrong:
                raise ValueError(
                    f"the checkpoint is of another algorithm or config: {sorted(wrong)[:4]}"
                )
        for slot, state in enumerate(states):
            for key, value in named.items():
                value[slot].copy_(torch.from_numpy(np.array(state[key])))
        for key in self._named_counts(networks):
            self.counts[key.removeprefix("updates/")] = int(states[0][key])

    def _named(self, chosen: Collection[str] | None) -> dict[str, Tensor]:
        groups = {
            "params": self.params,
            "targets": self.targets,
            "adam_means": self.means,
            "adam_squares": self.squares,
        }
        return {
            f"{group}/{name}/{key}": value
            for group, networks in groups.items()
            for name, params in networks.items()
            if chosen is None or name in chosen
            for key, value in params.items()
        }

    def _named_counts(self, chosen: Collection[str] | None) -> dict[str, int]:
        return {
            f"updates/{name}": count
            for name, count in self.counts.items()
            if chosen is None or name in chosen
        }


def of_slots(networks: Mapping[str, Params], slots: Sequence[int]) -> dict[str, Params]:
    """Every network in these slots; views, if they are the first."""
    first = slice(len(slots))
    chosen = first if list(slots) == list(range(len(slots))) else list(slots)
    return {name: {k: v[chosen] for k, v in params.items()} for name, params in networks.items()}


def stacked(states: Sequence[SeedState], group: str, device: torch.device) -> dict[str, Tensor]:
    """What states hold under names that begin with `group`, without that, with a seed axis."""
    return {
        name.removeprefix(group): torch.tensor(
            np.array([state[name] for state in states]), device=device
        )
        for name in states[0]
        if name.startswith(group)
    }


def _stack(seeds: Sequence[Params], device: torch.device) -> Params:
    return {key: torch.stack([params[key] for params in seeds]).to(device) for key in seeds[0]}


def _map(params: Params, function: Any) -> Params:
    return {key: function(value) for key, value in params.items()}
