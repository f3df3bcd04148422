"""Diffusion behaviour cloning: a diffusion model of the dataset's actions, acting by itself.

Paper: Wang et al., Diffusion Policies as an Expressive Policy Class for Offline Reinforcement
Learning, arXiv:2208.06193, whose BC ablation this is.
Code: official, Zhendong-Wang/Diffusion-Policies-for-Offline-RL at d871f5c,
`agents/bc_diffusion.py`.

Deviations:
    - Budget: the suite's (official: 2 · 10⁶ updates on Gym, 10⁶ on pen; 10 and 100 episodes every
      50 000).
    - Selection: the last policy. Paper: the one picked by its loss, or the best of all evaluations.
    - Evaluation: acts with a Polyak average of the weights, as `flow-bc` does (official: the raw
      weights).
"""

from __future__ import annotations

from torch import Tensor

from algorithms.base import (
    Adam,
    Algorithm,
    Batch,
    Config,
    Loss,
    Networks,
    Noise,
    Normal,
    Phase,
    Stage,
    Uniform,
)
from algorithms.blocks.diffusion import diffusion_loss, sample, sampling_noise
from algorithms.blocks.noise_networks import noise_network
from algorithms.fields import Count, LearningRate, PolyakRate, Widths


class DiffusionBCConfig(Config):
    """Diffusion behaviour cloning's settings, with the official values for Gym locomotion."""

    hidden_dims: Widths = (256, 256, 256)  # width of every hidden layer
    normalize_observations: bool = False  # the network sees raw observations
    learning_rate: LearningRate = 3e-4  # Adam
    diffusion_steps: Count = 5  # K, steps from noise to action
    ema: PolyakRate = 1e-3  # Polyak rate of the weights that act


class DiffusionBC(Algorithm[DiffusionBCConfig]):
    """Fits a diffusion model to the dataset's actions and acts by sampling it."""

    Config = DiffusionBCConfig

    def create(self) -> None:
        config, act = self.config, self.action_dim
        self.networks = {"actor": noise_network(self.obs_dim, act, config.hidden_dims)}
        self.optimizers = {"actor": Adam(config.learning_rate)}
        self.targets = {"actor": config.ema}
        self.noise = {"epsilon": Normal(act), "step": Uniform(1)}
        self.act_noise = {"sample": sampling_noise(act, config.diffusion_steps)}
        self.stages = (Stage((Phase(self.loss, ("actor",), updates_targets=("actor",)),)),)

    def loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        loss = diffusion_loss(
            nets.actor,
            batch.observations,
            batch.actions,
            noise["epsilon"],
            noise["step"],
            self.config.diffusion_steps,
        )
        return loss, {"actor/bc_loss": loss}

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        steps = self.config.diffusion_steps
        return sample(nets.target.actor, observations, noise["sample"], steps)
