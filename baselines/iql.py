"""IQL: in-sample expectile values and an advantage-weighted Gaussian policy.

Paper: Kostrikov et al., Offline Reinforcement Learning with Implicit Q-Learning, arXiv:2110.06169.
Code: official, ikostrikov/implicit_q_learning at 09d7002, `learner.py` and `policy.py`.

Deviations:
    - Update order: all three losses use the networks from before the update and are stepped
      together, as in CORL. Official: V, then the policy with the new V, then Q with the new V.
    - Schedule: the policy's learning rate falls to 0 along a cosine before what is learned online,
      too, where it is constant again. Official: it never falls where learning goes on online.
    - Rewards: as they are. Official: on Gym locomotion scaled so that episodes' returns span 1000,
      which a suite asks for by `reward_transform: return-range`; 1 is subtracted on AntMaze.
    - Data: actions are not kept 1e-5 inside ±1.
    - Data: online, half of each batch are the data's. Official: all are drawn from one buffer, in
      which the data were first.
    - Budget: the suite's (official: 10⁶ updates, 10 episodes every 5000).
"""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from algorithms.base import (
    Adam,
    Algorithm,
    Batch,
    Config,
    Key,
    Loss,
    Networks,
    Noise,
    Normal,
    Phase,
    Stage,
)
from algorithms.blocks.critics import iql_critic_loss
from algorithms.fields import Expectile, LearningRate, Neutral, PolyakRate, Positive, Rate
from algorithms.initialisation import ORTHOGONAL
from algorithms.networks import MLP, GaussianActor, gaussian_log_prob


class IQLConfig(Config):
    """IQL's settings, with the paper's values for Gym locomotion."""

    normalize_observations: bool = False  # CORL does
    learning_rate: LearningRate = 3e-4  # Adam; the actor's decays to 0 along a cosine
    expectile: Expectile = 0.7  # τ of Eq. 5; 0.9 on AntMaze
    temperature: Positive = 3.0  # β of Eq. 7 (an inverse temperature); 10 on AntMaze, 0.5 on Adroit
    tau: PolyakRate = 0.005  # α, Polyak rate of the target critic
    max_weight: Positive = 100.0  # bound of exp(β A)
    dropout: Annotated[Rate, Neutral(0.0)] = 0.0  # of the actor's hidden units; 0.1 on Adroit


class IQL(Algorithm[IQLConfig]):
    """Expectile V, TD Q, then max_π E [exp(β (Q − V)) log π(a | s)] (Eq. 5 to 7)."""

    Config = IQLConfig
    action_selection = "noise-0"  # the mean

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.networks = {
            "actor": GaussianActor(
                obs, act, config.hidden_dims, dropout=config.dropout, initialisation=ORTHOGONAL
            ),
            "critic": MLP(obs + act, 1, config.hidden_dims, ensemble=2, initialisation=ORTHOGONAL),
            "value": MLP(obs, 1, config.hidden_dims, initialisation=ORTHOGONAL),
        }
        self.optimizers = {
            "actor": Adam(config.learning_rate, cosine_decay=True),
            "critic": Adam(config.learning_rate),
            "value": Adam(config.learning_rate),
        }
        self.targets = {"critic": config.tau}
        self.noise = {"dropout": Key()} if config.dropout else {}
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
        actor_loss = self.actor_loss(nets, batch, noise, advantage)
        return critic_loss + actor_loss, {**metrics, "actor/loss": actor_loss}

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise, advantage: Tensor) -> Tensor:
        """Eq. 7. advantage: [S, B], of the data's actions."""
        weight = torch.exp(self.config.temperature * advantage).clamp(max=self.config.max_weight)
        mean, log_std = nets.actor(batch.observations, key=noise.get("dropout"))
        return -(weight * gaussian_log_prob(batch.actions, mean, log_std)).mean(-1)

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        mean, log_std = nets.actor(observations)
        action: Tensor = mean + log_std.exp() * noise["gaussian"]
        return action
