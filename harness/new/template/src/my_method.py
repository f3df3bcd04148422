"""My method: the data's actions, weighted by their advantages under a critic of the policy's own.

Paper: none yet; it starts as AWAC, arXiv:2006.09359.
Code: none.

Deviations: none.
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
from algorithms.fields import LearningRate, PolyakRate, Positive
from algorithms.networks import MLP, GaussianActor, gaussian_log_prob


class MyMethodConfig(Config):
    """Its settings, beside those that every method has (`hidden_dims`, `discount`, …)."""

    learning_rate: LearningRate = 3e-4  # Adam, of all networks
    temperature: Positive = 0.3333  # λ of exp(A / λ)
    tau: PolyakRate = 0.005  # τ, Polyak rate of the target critics


class MyMethod(Algorithm[MyMethodConfig]):
    """max_π E [exp(A(s, a) / λ) log π(a | s)], A(s, a) = Q(s, a) − Q(s, a'), a' from π."""

    Config = MyMethodConfig
    action_selection = "noise-0"  # evaluated by its mean action

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.networks = {
            "actor": GaussianActor(obs, act, config.hidden_dims),
            "critic": MLP(obs + act, 1, config.hidden_dims, ensemble=2),
        }
        self.optimizers = {name: Adam(config.learning_rate) for name in self.networks}
        self.targets = {"critic": config.tau}
        self.noise = {"next": Normal(act), "own": Normal(act)}  # of an update
        self.act_noise = {"own": Normal(act)}  # of acting
        critic = Phase(self.critic_loss, trains=("critic",), updates_targets=("critic",))
        actor = Phase(self.actor_loss, trains=("actor",))
        self.stages = (Stage((critic, actor)),)

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        mean, log_std = nets.frozen.actor(batch.next_observations)  # [S, B, act] each
        next_actions = (mean + log_std.exp() * noise["next"]).clamp(-1, 1)
        next_q = nets.target.critic(batch.next_observations, next_actions).amin(1)  # [S, B]
        backup = batch.rewards + self.config.discount * batch.masks * next_q  # [S, B]
        q = nets.critic(batch.observations, batch.actions)  # [S, E, B], E = 2 critics
        loss = (q - backup.unsqueeze(1)).square().mean((1, 2))  # [S]: one number per seed
        return loss, {"critic/loss": loss, "critic/mean": q.mean((1, 2))}

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        mean, log_std = nets.actor(batch.observations)  # [S, B, act] each
        own = (mean + log_std.exp() * noise["own"]).detach().clamp(-1, 1)
        value = nets.frozen.critic(batch.observations, own).amin(1)  # [S, B]
        advantage = nets.frozen.critic(batch.observations, batch.actions).amin(1) - value
        weight = torch.exp(advantage / self.config.temperature).clamp(max=100.0)  # [S, B]
        loss = -(weight * gaussian_log_prob(batch.actions, mean, log_std)).mean(-1)  # [S]
        return loss, {"actor/loss": loss, "actor/weight": weight.mean(-1)}

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        mean, log_std = nets.actor(observations)  # [S, E, act] each, E environments at once
        action: Tensor = mean + log_std.exp() * noise["own"]
        return action
