"""One phase's loss on a batch, and how far its terms reach; engines take no part."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from algorithms.base import Algorithm, Networks, Phase
from algorithms.networks import Params
from tests.algorithms.reference import random_batch, random_noise, random_params

SEEDS, BATCH = 2, 16


@dataclass(frozen=True)
class Evaluated:
    """A phase's loss `[S]` and metrics, and the parameters `[S, ...]` it trains, as leaves."""

    trained: Mapping[str, Params]
    loss: Tensor
    metrics: Mapping[str, Tensor]

    def gradient(self, name: str, slot: int | None = None, *, twice: bool = False) -> list[Tensor]:
        """Of one seed's loss, or of their sum, with respect to a network."""
        loss = self.loss.sum() if slot is None else self.loss[slot]
        leaves = list(self.trained[name].values())
        return list(torch.autograd.grad(loss, leaves, retain_graph=True, create_graph=twice))

    def trained_together(self) -> set[tuple[str, str]]:
        """Pairs of networks of which one's gradient changes with the other's parameters.

        A sum of terms that train one network each has no such pair, as its mixed derivatives are
        zero. A term whose gradient is to reach the actor but reaches the critic as well has one.
        """
        generator = torch.Generator().manual_seed(7)
        found = set()
        for one, other in itertools.combinations(self.trained, 2):
            slope = sum(
                (g * torch.randn(g.shape, generator=generator)).sum()
                for g in self.gradient(one, twice=True)
            )
            if not (isinstance(slope, Tensor) and slope.requires_grad):
                continue  # a loss that is linear in this network
            mixed = torch.autograd.grad(
                slope, list(self.trained[other].values()), retain_graph=True, allow_unused=True
            )
            if any(m is not None and m.any() for m in mixed):
                found.add((one, other))
        return found


def phases(algorithm: Algorithm[Any]) -> list[Phase]:
    """Every phase that the algorithm has, offline and online."""
    offline = [phase for stage in algorithm.stages for phase in stage.phases]
    return [*offline, *algorithm.online_phases()]


def evaluate(
    algorithm: Algorithm[Any], phase: Phase, *, unfrozen: Collection[str] = ()
) -> Evaluated:
    """The phase's loss as the engine asks for it: what it trains, frozen copies, other averages.

    Where `unfrozen` networks are trained, their frozen copies and averages carry gradients too:
    the mistake of writing `nets.critic` for `nets.frozen.critic` or `nets.target.critic`.
    """
    params = random_params(algorithm.networks, SEEDS)
    averages = random_params(
        {name: algorithm.networks[name] for name in algorithm.targets}, SEEDS, 1
    )
    trained = {
        name: {key: value.clone().requires_grad_() for key, value in params[name].items()}
        for name in phase.trains
    }
    leaking = {name: trained[name] for name in trained if name in unfrozen}
    nets = Networks(
        algorithm.networks, {**params, **trained}, {**params, **leaking}, {**averages, **leaking}
    )
    noise = random_noise(algorithm.noise, SEEDS, BATCH)
    loss, metrics = phase.loss(nets, random_batch(SEEDS, BATCH, algorithm), noise)
    return Evaluated(trained, loss, metrics)
