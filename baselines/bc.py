"""Behaviour cloning: a deterministic policy fitted to the dataset's actions by squared error.

Paper: Pomerleau, Efficient Training of Artificial Neural Networks for Autonomous Navigation, 1991.
Code: tinkoff-ai/CORL at 6afec90, `algorithms/offline/any_percent_bc.py` with a fraction of 1.

Deviations:
    - Data: all of them. CORL: not what follows the last end of an episode, which is a terminal or
      the 1000th transition since the last one.
    - Budget: the suite's (CORL: 10⁶ updates, 10 episodes every 5000).
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.base import Adam, Algorithm, Batch, Config, Loss, Networks, Noise, Phase, Stage
from algorithms.fields import LearningRate
from algorithms.networks import MLP


class BCConfig(Config):
    """Behaviour cloning's settings."""

    learning_rate: LearningRate = 3e-4  # Adam


class BC(Algorithm[BCConfig]):
    """min_π E |π(s) − a|²."""

    Config = BCConfig

    def create(self) -> None:
        self.networks = {"actor": MLP(self.obs_dim, self.action_dim, self.config.hidden_dims)}
        self.optimizers = {"actor": Adam(self.config.learning_rate)}
        self.stages = (Stage((Phase(self.loss, ("actor",)),)),)

    def loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        actions = torch.tanh(nets.actor(batch.observations))
        loss = (actions - batch.actions).square().mean((1, 2))
        return loss, {"actor/loss": loss}

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        return torch.tanh(nets.actor(observations))
