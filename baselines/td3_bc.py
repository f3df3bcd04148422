"""TD3+BC: TD3 with a behaviour-cloning term beside a normalised Q.

Paper: Fujimoto and Gu, A Minimalist Approach to Offline Reinforcement Learning, arXiv:2106.06860.
Code: official, sfujim/TD3_BC at 8791ad7, `TD3_BC.py` and `main.py`.

Deviations:
    - Budget: the suite's (official: 10⁶ updates, 10 episodes every 5000).
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
from algorithms.fields import Count, LearningRate, PolyakRate, Weight
from algorithms.networks import MLP


class TD3BCConfig(Config):
    """TD3+BC's settings, with the paper's values (Table 3)."""

    learning_rate: LearningRate = 3e-4  # Adam, actor and critics
    alpha: Weight = 2.5  # α of Eq. 5: weight of Q against cloning
    tau: PolyakRate = 0.005  # τ, Polyak rate of the targets
    policy_noise: Weight = 0.2  # σ of the target policy's smoothing noise
    noise_clip: Weight = 0.5  # c, bound of that noise
    policy_every: Count = 2  # d, critic updates for one actor update


class TD3BC(Algorithm[TD3BCConfig]):
    """max_π E [λ Q(s, π(s)) − |π(s) − a|²], λ = α / mean |Q| (Eq. 3 to 5)."""

    Config = TD3BCConfig

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.networks = {
            "actor": MLP(obs, act, config.hidden_dims),
            "critic": MLP(obs + act, 1, config.hidden_dims, ensemble=2),
        }
        self.optimizers = {name: Adam(config.learning_rate) for name in self.networks}
        self.targets = {"actor": config.tau, "critic": config.tau}
        self.noise = {"smoothing": Normal(act)}
        actor = Phase(
            self.actor_loss,
            ("actor",),
            every=config.policy_every,
            updates_targets=("actor", "critic"),
        )
        self.stages = (Stage((Phase(self.critic_loss, ("critic",)), actor)),)

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        config = self.config
        smoothing = (config.policy_noise * noise["smoothing"]).clamp(
            -config.noise_clip, config.noise_clip
        )
        next_actions = torch.tanh(nets.target.actor(batch.next_observations)) + smoothing
        next_q = nets.target.critic(batch.next_observations, next_actions.clamp(-1, 1)).amin(1)
        backup = batch.rewards + config.discount * batch.masks * next_q
        q = nets.critic(batch.observations, batch.actions)
        loss = mean_squared_error(q, backup)
        return loss, {"critic/loss": loss, "critic/mean": q.mean((1, 2))}

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        actions = torch.tanh(nets.actor(batch.observations))
        q = nets.frozen.critic(batch.observations, actions)[
            :, 0
        ]  # the first of the twins, as in TD3
        q_loss = -self.config.alpha * q.mean(-1) / q.abs().mean(-1).detach()
        bc_loss = (actions - batch.actions).square().mean((1, 2))
        return q_loss + bc_loss, {"actor/q_loss": q_loss, "actor/bc_loss": bc_loss}

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        return torch.tanh(nets.actor(observations))
