"""XQL: the soft maximum of Q over the data's actions, fitted as the location of Gumbel errors.

Paper: Garg et al., Extreme Q-Learning: MaxEnt RL without Entropy, arXiv:2301.02328.
Code: official, Div99/XQL at dff09af, `offline/critic.py`, `offline/actor.py`, `offline/learner.py`;
settings of `offline/configs/mujoco_config.py` and `offline/train_offline.py`. Equations are
numbered as in its copy of the paper.

Deviations:
    - Schedule: the policy's learning rate falls to 0 along a cosine, and is constant online.
      Official: it never falls on AntMaze, nor where learning goes on online.
    - Rewards: as the suite says. Official: episodes' returns span 1000 on Gym locomotion
      (`reward_transform: return-range`), 1 is subtracted on AntMaze.
    - Data: actions are not kept 1e-5 inside ±1.
    - Budget: the suite's (official: 10⁶ updates, 10 episodes every 5000).

Official options that its runs on D4RL's Gym, Adroit and Kitchen tasks do not use are left out:
several steps of V an update (four on one AntMaze task), V's dropout, which no forward pass turns
on, a gradient penalty, the logarithm of the loss.

What follows is as in the official code, and the paper differs:
    - The policy's inverse temperature is a setting of its own (paper, Eq. 12: 1 / β).
    - The exponent is bounded from above alone (paper, appendix: from both sides).
    - Q has a Huber loss, quadratic up to 20 (paper: squared errors).
    - A run has 10⁶ updates, and so has its cosine (paper: half as many on most tasks).
    - V's layer norm and, on some tasks, other actions in V's loss than the data's are in the code
      alone.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from algorithms.base import Batch, Noise, Normal, Uniform
from algorithms.blocks.in_sample import InSample, InSampleConfig, linex_loss
from algorithms.fields import Count, Positive, Weight

_HUBER = 20.0  # where Q's loss becomes linear
_LARGEST_NOISE = 0.5  # on V's actions


class XQLConfig(InSampleConfig):
    """XQL's settings, with the official code's values for Gym locomotion."""

    batch_size: Count = 1024  # B, transitions per update; 256 on some tasks
    beta: Positive = 1.0  # β, temperature of V's soft maximum; by task from 0.5 to 10
    max_exponent: Positive = 7.0  # bound of (Q − V) / β in V's loss; 5 on some tasks
    temperature: Positive = 3.0  # of exp(· A), the policy's weights; 0.5 on Adroit
    uniform_actions: bool = False  # as many uniform actions as the data's in V's loss
    value_noise: Weight = 0.0  # σ of noise on the actions in V's loss; 0.1 on halfcheetah/medium


class XQL(InSample[XQLConfig]):
    """V = β log E_μ exp(Q / β) by Gumbel regression; E [exp(temperature · A) log π(a | s)]."""

    Config = XQLConfig

    def create(self) -> None:
        super().create()
        if self.config.uniform_actions:
            self.noise = {**self.noise, "uniform": Uniform(self.action_dim)}
        if self.config.value_noise:
            self.noise = {**self.noise, "value_noise": Normal(self.action_dim)}

    def value_inputs(self, batch: Batch, noise: Noise) -> tuple[Tensor, Tensor]:
        observations, actions = batch.observations, batch.actions
        if self.config.value_noise:
            shift = self.config.value_noise * noise["value_noise"]
            actions = (actions + shift.clamp(-_LARGEST_NOISE, _LARGEST_NOISE)).clamp(-1, 1)
        if self.config.uniform_actions:
            observations = torch.cat([observations, observations], 1)
            actions = torch.cat([actions, 2 * noise["uniform"] - 1], 1)
        return observations, actions

    def value_errors(self, q: Tensor, value: Tensor) -> Tensor:
        """Gumbel regression (Eq. 11). What is beyond the bound has no gradient at all."""
        z = ((q - value) / self.config.beta).clamp(max=self.config.max_exponent)
        return linex_loss(z, z)

    def weights(self, advantage: Tensor) -> Tensor:
        return torch.exp(self.config.temperature * advantage)

    def critic_error(self, q: Tensor, backup: Tensor) -> Tensor:
        error = F.huber_loss(q, backup.unsqueeze(1).expand_as(q), reduction="none", delta=_HUBER)
        return error.mean(-1).sum(1)
