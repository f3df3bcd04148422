"""IQL: in-sample expectile values and an advantage-weighted Gaussian policy.

Paper: Kostrikov et al., Offline Reinforcement Learning with Implicit Q-Learning, arXiv:2110.06169.
Code: official, ikostrikov/implicit_q_learning.

Deviations:
    - All three losses use the networks from before the update and are stepped together; the
      official order is V, then the policy with the new V, then Q with the new V.
    - Observations are normalised (CORL does, the official code does not).
"""

from __future__ import annotations

import torch
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
)
from algorithms.blocks.critics import iql_critic_loss
from algorithms.fields import Expectile, LearningRate, PolyakRate, Positive
from algorithms.networks import MLP, GaussianActor, gaussian_log_prob


class IQLConfig(Config):
    """IQL's settings, with the paper's values for Gym locomotion."""

    learning_rate: LearningRate = 3e-4  # Adam; the actor's decays to 0 along a cosine
    expectile: Expectile = 0.7  # τ of Eq. 5; 0.9 on AntMaze
    temperature: Positive = 3.0  # β of Eq. 7 (an inverse temperature); 10 on AntMaze
    tau: PolyakRate = 0.005  # α, Polyak rate of the target critic
    max_weight: Positive = 100.0  # bound of exp(β A)


class IQL(Algorithm[IQLConfig]):
    """Expectile V, TD Q, then max_π E [exp(β (Q − V)) log π(a | s)] (Eq. 5 to 7)."""

    Config = IQLConfig
    action_selection = "noise-0"  # the mean

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.networks = {
            "actor": GaussianActor(obs, act, config.hidden_dims),
            "critic": MLP(obs + act, 1, config.hidden_dims, ensemble=2),
            "value": MLP(obs, 1, config.hidden_dims),
        }
        self.optimizers = {
            "actor": Adam(config.learning_rate, cosine_decay=True),
            "critic": Adam(config.learning_rate),
            "value": Adam(config.learning_rate),
        }
        self.targets = {"critic": config.tau}
        self.act_noise = {"gaussian": Normal(act)}
        networks = ("actor", "critic", "value")
        self.stages = (Stage((Phase(self.loss, networks, updates_targets=("critic",)),)),)

    def online_phases(self) -> tuple[Phase, ...]:
        return self.stages[0].phases

    def loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        config = self.config
        critic_loss, metrics, advantage = iql_critic_loss(
            nets, batch, discount=config.discount, expectile=config.expectile
        )
        actor_loss = self.actor_loss(nets, batch, advantage)
        return critic_loss + actor_loss, {**metrics, "actor/loss": actor_loss}

    def actor_loss(self, nets: Networks, batch: Batch, advantage: Tensor) -> Tensor:
        """Eq. 7. advantage: [S, B], of the data's actions."""
        weight = torch.exp(self.config.temperature * advantage).clamp(max=self.config.max_weight)
        mean, log_std = nets.actor(batch.observations)
        return -(weight * gaussian_log_prob(batch.actions, mean, log_std)).mean(-1)

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        mean, log_std = nets.actor(observations)
        action: Tensor = mean + log_std.exp() * noise["gaussian"]
        return action
