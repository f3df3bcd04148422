"""Learners as checkpoints left them: they act, without their data, and learn no more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from algorithms import registry
from algorithms.action_selection import parse_action_selection
from algorithms.base import Algorithm, Config, Networks, Noise, NoiseSpec
from algorithms.engine.acting import Policy, make_policy, select_actions
from algorithms.engine.engine import learned
from algorithms.engine.learning_state import LearningState, SeedState
from algorithms.engine.preprocessing import Preprocessing
from algorithms.engine.schedule import Schedule
from algorithms.engine.streams import generator
from algorithms.networks import Network


class Trained:
    """The networks of S seeds after `step` gradient steps.

    Args:
        algorithm_id: id in the registry.
        config: the algorithm's resolved config.
        preprocessing: what the data decided of acting; the networks go to its device.
        states: `Engine.state()` of every seed.
        step: gradient steps that they have taken.
        offline_steps: their budget on the data, as the engine had it.
        online_steps: their budget after that.
        known_q: the task's closed-form Q, for a config with `known_q`.

    Attributes:
        nets: their networks, with a seed axis.
        choose: gives the actions of normalised observations, as `Algorithm.act` does.

    Raises ValueError for a state of another algorithm or config.
    """

    def __init__(
        self,
        algorithm_id: str,
        config: Config,
        preprocessing: Preprocessing,
        states: Sequence[SeedState],
        step: int,
        *,
        offline_steps: int,
        online_steps: int = 0,
        known_q: Network | None = None,
    ) -> None:
        self.preprocessing = preprocessing
        self.algorithm: Algorithm[Any] = registry.load(algorithm_id)(
            config, preprocessing.obs_dim, preprocessing.action_dim, known_q, preprocessing.facts
        )
        seeds = range(len(states))
        networks = LearningState.create(self.algorithm, seeds, preprocessing.mean.device)
        networks.load([learned(state) for state in states])
        params, targets = networks.params, networks.targets
        self.nets = Networks(self.algorithm.networks, params, params, targets)
        online = self.algorithm.online_stage() if online_steps else None
        schedule = Schedule(self.algorithm.stages, offline_steps, online)
        self.choose = schedule.last_trained(step).act or self.algorithm.act

    def policy(self, noise: Sequence[torch.Generator], selection: str | None = None) -> Policy:
        """How they act: `[S, E, obs_dim] -> [S, E, action_dim]`, as `make_policy` says.

        noise: what their noise is drawn from, a generator each, on the networks' device.
        """
        return make_policy(
            self.algorithm, self.nets, self.choose, selection, self.preprocessing, noise
        )

    def act(
        self, observations: Tensor, selection: str, draws: Callable[[NoiseSpec, int], Noise]
    ) -> Tensor:
        """The same in tensors, of a method without a `context`, and with noise of any kind.

        draws: noise by name, `[S, n, dim]`, for specs and a number n.
        """
        return select_actions(
            self.algorithm,
            self.nets,
            self.choose,
            parse_action_selection(selection),
            self.preprocessing.normalize(observations),
            draws,
        )

    def noise(self, seeds: Sequence[int], stream: str) -> list[torch.Generator]:
        """The beginnings of the streams of that name which the engine would have for its seeds."""
        device = self.preprocessing.mean.device
        return [generator("act", seed, stream, device=device) for seed in seeds]
