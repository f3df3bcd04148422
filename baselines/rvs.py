"""RvS-R: a Gaussian policy fitted to the data given the reward per step that followed.

Paper: Emmons et al., RvS: What is Essential for Offline RL via Supervised Learning?,
arXiv:2112.10751.
Code: official, scottemmons/rvs at 90c0ffb, `experiments/config/d4rl/gym_rvs_r.cfg`.

Deviations:
    - Clipping: actions are clipped to [-1, 1] (official: the mean as it is, and the environment
      clips).
    - Data: transitions are drawn with replacement (official: passes over the episodes, in an order
      that is shuffled once).
    - Data: a step at a time limit is left out of D4RL's files, its reward of what followed, and
      itself of the steps of the longest episode (official: none of these); an episode that the end
      of a file cuts is kept (official: not).
    - Budget: the suite's (official: 2000 passes, 200 episodes an evaluation).
    - Evaluation: for one target, the data's best return per step unless a suite gives another.
      Official: for ten, 0.3 to 1.2 of the way from D4RL's random to its expert reference score.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from algorithms.base import Adam, Algorithm, Batch, Config, Loss, Networks, Noise, Phase, Stage
from algorithms.fields import Count, LearningRate, Number, Widths
from algorithms.initialisation import ORTHOGONAL
from algorithms.networks import GaussianActor, gaussian_log_prob


class RvSConfig(Config):
    """RvS-R's settings, with the official code's values for Gym locomotion."""

    hidden_dims: Widths = (1024, 1024)  # width of every hidden layer
    batch_size: Count = 16384  # B, transitions per update
    discount: Annotated[float, Field(ge=1, le=1)] = 1.0  # rewards to go are undiscounted
    normalize_observations: bool = False  # shift and scale by the dataset's mean and std
    learning_rate: LearningRate = 1e-3  # Adam
    target_reward: Number | None = None  # per step, to act for; null: the best episode's


class RvS(Algorithm[RvSConfig]):
    """max_π E log π(a | s, ω), with ω the reward to go over the steps that are left."""

    Config = RvSConfig

    def create(self) -> None:
        config = self.config
        self.networks = {
            "actor": GaussianActor(
                self.obs_dim + 1,
                self.action_dim,
                config.hidden_dims,
                log_std_min=-math.inf,
                log_std_max=math.inf,
                bounded=False,
                initialisation=replace(ORTHOGONAL, last=0.01),  # of Stable-Baselines3
            )
        }
        self.optimizers = {"actor": Adam(config.learning_rate)}
        self.stages = (Stage((Phase(self.loss, ("actor",)),)),)

    def loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        left = self.facts.longest_episode - batch.steps  # as if each might last as long
        outcome = (batch.returns / left).unsqueeze(-1)
        mean, log_std = nets.actor(torch.cat([batch.observations, outcome], -1))
        loss = -gaussian_log_prob(batch.actions, mean, log_std).mean(-1)
        return loss, {"actor/loss": loss, "actor/log_std": log_std.mean((1, 2))}

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        target = self.config.target_reward
        if target is None:
            target = self.facts.best_return / self.facts.longest_episode
        outcome = torch.full_like(observations[..., :1], target)
        mean: Tensor = nets.actor(torch.cat([observations, outcome], -1))[0]
        return mean
