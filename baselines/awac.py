"""AWAC: a critic of the policy's own actions, and the data's actions weighted by its advantages.

Paper: Nair et al., AWAC: Accelerating Online Reinforcement Learning with Offline Datasets,
arXiv:2006.09359.
Code: official, rail-berkeley/rlkit at 1a5644c, `rlkit/torch/sac/awac_trainer.py`; for D4RL
tinkoff-ai/CORL at 6afec90, `algorithms/offline/awac.py`, whose settings these are.

Deviations:
    - Activation and norm: the policy's mean is squashed by tanh, as in the official code (CORL:
      not).
    - Rewards: as they are unless a suite says otherwise (CORL: 1 is subtracted on AntMaze).
    - Budget: the suite's (CORL: 10⁶ updates, 10 episodes every 1000; official: 5·10⁴ before it goes
      on online).

What follows is as in CORL, and the official code differs:
    - Weights are exp(A / λ), at most 100. Official: divided by the batch's mean, and not bounded.
    - λ is 1/3 (official: 2), and a batch has 256 transitions (official: 1024).
    - The policy learns from the critics after their step (official: from those before it).
    - Actions that the policy samples for values are clipped to [-1, 1] (official: not).
    - All networks have three hidden layers (official: four of the policy, two of the critics), and
      start as PyTorch's do (official: last layers near zero).
    - log σ starts at 0, clamped to [-20, 2] (official: at -3, kept in [-6, 0] by a sigmoid).
    - No weight decay (official: 1e-4, of the policy).
    - Observations are normalised (official: not).
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
from algorithms.blocks.critics import mean_squared_error
from algorithms.fields import LearningRate, PolyakRate, Positive, Widths
from algorithms.networks import MLP, GaussianActor, gaussian_log_prob


class AWACConfig(Config):
    """AWAC's settings, with CORL's values for Gym locomotion."""

    hidden_dims: Widths = (256, 256, 256)  # width of every hidden layer
    learning_rate: LearningRate = 3e-4  # Adam, actor and critics
    temperature: Positive = 0.3333  # λ of exp(A / λ); 0.1 on Adroit and Maze2D
    max_weight: Positive = 100.0  # bound of exp(A / λ)
    tau: PolyakRate = 0.005  # τ, Polyak rate of the target critics


class AWAC(Algorithm[AWACConfig]):
    """max_π E [exp(A(s, a) / λ) log π(a | s)], A(s, a) = Q(s, a) − Q(s, a'), a' from π."""

    Config = AWACConfig
    action_selection = "noise-0"  # the mean
    online_sampling = "uniform"

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.networks = {
            "actor": GaussianActor(obs, act, config.hidden_dims, log_std_min=-20.0),
            "critic": MLP(obs + act, 1, config.hidden_dims, ensemble=2),
        }
        self.optimizers = {name: Adam(config.learning_rate) for name in self.networks}
        self.targets = {"critic": config.tau}
        self.noise = {"next_gaussian": Normal(act), "gaussian": Normal(act)}
        self.act_noise = {"gaussian": Normal(act)}
        critic = Phase(self.critic_loss, ("critic",), updates_targets=("critic",))
        self.stages = (Stage((critic, Phase(self.actor_loss, ("actor",)))),)

    def online_phases(self) -> tuple[Phase, ...]:
        return self.stages[0].phases

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Twins regress on r + γ min_i Q̄_i(s', a'), a' from π."""
        mean, log_std = nets.frozen.actor(batch.next_observations)
        next_actions = (mean + log_std.exp() * noise["next_gaussian"]).clamp(-1, 1)
        next_q = nets.target.critic(batch.next_observations, next_actions).amin(1)
        backup = batch.rewards + self.config.discount * batch.masks * next_q
        q = nets.critic(batch.observations, batch.actions)
        loss = mean_squared_error(q, backup)
        return loss, {"critic/loss": loss, "critic/mean": q.mean((1, 2))}

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        mean, log_std = nets.actor(batch.observations)
        own = (mean + log_std.exp() * noise["gaussian"]).detach().clamp(-1, 1)
        value = nets.frozen.critic(batch.observations, own).amin(1)
        advantage = nets.frozen.critic(batch.observations, batch.actions).amin(1) - value
        weight = torch.exp(advantage / self.config.temperature).clamp(max=self.config.max_weight)
        loss = -(weight * gaussian_log_prob(batch.actions, mean, log_std)).mean(-1)
        return loss, {"actor/loss": loss, "actor/weight": weight.mean(-1)}

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        mean, log_std = nets.actor(observations)
        action: Tensor = mean + log_std.exp() * noise["gaussian"]
        return action
