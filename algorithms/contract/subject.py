"""The method that is checked, small, and what it has learned from made-up data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from algorithms import registry
from algorithms.base import Algorithm, Config, Phase
from algorithms.engine.engine import Engine
from algorithms.engine.learning_state import SeedState
from algorithms.transitions import Transitions

OBS_DIM, ACTION_DIM = 3, 2
STEPS, SAVED = 80, 70  # saved inside a block of random numbers, and past the last stage's beginning
# Settings that make a method cheap, of those it has.
FEW = {
    "flow_steps": 3,
    "diffusion_steps": 3,
    "critic_flow_steps": 2,
    "noise_samples": 2,
    "time_frequencies": 3,
    "context": 3,
    "warmup_steps": 3,
    "embedding_dim": 16,
    "vae_hidden_dims": (16, 16),
    "policy_hidden_dims": (16, 16),
    "warmup_share": 0.1,  # a step at least
    "heads": 2,
    "bins": 10,
    "horizon": 2,
    "beam_width": 4,
    "block_dims": (16, 16),
    "behavior_dims": (16, 16),
    "behavior_share": 0.5,
    "planning_candidates": 4,
    "actor_dim": 16,
    "actor_blocks": 2,
    "guidance_dims": (16, 16),
    "support_actions": 3,
    "actor_hidden_dims": (16, 16),
    "behavior_dim": 16,
    "behavior_blocks": 2,
    "plans": 4,
}


@dataclass(frozen=True)
class Life:
    """An engine that has trained to its end, and its seeds' states at the start and at `SAVED`."""

    engine: Engine
    first: list[SeedState]
    saved: list[SeedState]


@dataclass(frozen=True)
class Subject:
    """A registered method under the contract.

    Attributes:
        algorithm_id: its id.
        settings: of its config, over small ones.

    Raises KeyError and AlgorithmError as `registry.load` does.
    """

    algorithm_id: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def method(self) -> type[Algorithm[Any]]:
        """Its class."""
        return registry.load(self.algorithm_id)

    def config(self, **settings: Any) -> Config:
        """Its config, small but for `settings`."""
        fields = self.method.Config.model_fields
        few = {name: value for name, value in FEW.items() if name in fields}
        small = {"hidden_dims": (16, 16), "batch_size": 32, **few, **self.settings, **settings}
        return registry.resolve_config(self.algorithm_id, small)

    def fast(self) -> dict[str, Any]:
        """Settings with which it learns in `STEPS` steps, if anything does."""
        fields = self.method.Config.model_fields
        averages = {name: 0.05 for name in fields if name.endswith("ema")}
        rates = {name: 5e-3 for name in fields if name.endswith("learning_rate")}
        return {"hidden_dims": (32, 32), **averages, **rates, **self.settings}

    @cached_property
    def algorithm(self) -> Algorithm[Any]:
        """It by itself, narrow, for its losses."""
        return self.method(self.config(hidden_dims=(8, 8)), OBS_DIM, ACTION_DIM)

    @property
    def phases(self) -> list[Phase]:
        """Every phase that it has, offline and online."""
        offline = [phase for stage in self.algorithm.stages for phase in stage.phases]
        return [*offline, *self.algorithm.online_phases()]

    @cached_property
    def transitions(self) -> Transitions:
        """What it learns from."""
        return made_up_transitions()

    def engine(
        self,
        seeds: tuple[int, ...],
        steps: int,
        *,
        compile: bool = False,  # noqa: A002
        **settings: Any,
    ) -> Engine:
        """An untrained engine."""
        return Engine(
            self.algorithm_id,
            self.config(**settings),
            self.transitions,
            seeds,
            offline_steps=steps,
            compile=compile,
        )

    def steps(self, at_least: int) -> int:
        """So many, or as many as give each stage one."""
        # More than one a stage: ends of stages are rounded, halves to even.
        return max(at_least, *(math.floor(1 / stage.share) + 1 for stage in self.algorithm.stages))

    def learner(self) -> Engine:
        """An untrained engine of two seeds that learns fast."""
        return self.engine((0, 1), STEPS, **self.fast())

    @cached_property
    def life(self) -> Life:
        """A learner's training."""
        engine = self.learner()
        first = [engine.state(0), engine.state(1)]
        engine.train(SAVED)
        saved = [engine.state(0), engine.state(1)]
        engine.train(STEPS - SAVED)
        return Life(engine, first, saved)


def made_up_transitions() -> Transitions:
    """Eight episodes of 32 steps; the best action is a linear function of the observation."""
    rng = np.random.default_rng(0)
    n = 256
    observations = rng.standard_normal((n, OBS_DIM))
    best = 0.5 * observations[:, :ACTION_DIM]
    actions = np.clip(best + 0.1 * rng.standard_normal((n, ACTION_DIM)), -1, 1)
    ends = (np.arange(n) % 32) == 31
    return Transitions.pack(
        observations=observations,
        actions=actions,
        rewards=-np.abs(actions - best).sum(1),
        next_observations=np.roll(observations, -1, axis=0),
        terminals=ends & (np.arange(n) % 64 == 31),
        timeouts=ends & (np.arange(n) % 64 == 63),
    )


def states_equal(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two seeds' states have the same names and the same bits."""
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
