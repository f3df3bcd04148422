"""The SAC that CQL, SAC-N, EDAC and MCQ build on, but for what they say.

It is no method of its own: `sac` is `soft_actor_critic.py`, the official code's. This is the
paper's (Haarnoja et al., arXiv:1812.05905): the policy climbs the smaller twin (Section 5) and
steps together with the temperature unless a method says otherwise; the temperature's loss is in
log α; log σ is clamped.
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
from algorithms.blocks.squashed_gaussian import LogScalar, SquashedGaussian, squashed_sample
from algorithms.fields import LearningRate, Nats, PolyakRate
from algorithms.networks import MLP


class SACConfig(Config):
    """SAC's settings, with the paper's values (Table 1)."""

    normalize_observations: bool = False  # the paper's networks see raw observations
    learning_rate: LearningRate = 3e-4  # Adam, of policy, critics and temperature
    tau: PolyakRate = 0.005  # τ, Polyak rate of the target critics
    target_entropy: Nats | None = None  # H̄ in nats of a squashed action; null: −action_dim


class SAC(Algorithm[SACConfig]):
    """max_π E [Q(s, a) − α log π(a | s)], α such that −E log π = H̄ (Eq. 5, 9 and 18)."""

    Config = SACConfig
    action_selection = "noise-0"  # the tanh of the mean, as the paper evaluates
    online_sampling = "uniform"

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.target_entropy = -act if config.target_entropy is None else config.target_entropy
        self.networks = {
            "actor": SquashedGaussian(obs, act, config.hidden_dims),
            "critic": MLP(obs + act, 1, config.hidden_dims, ensemble=2),
            "temperature": LogScalar(),
        }
        self.optimizers = {name: Adam(config.learning_rate) for name in self.networks}
        self.targets = {"critic": config.tau}
        self.noise = {"next_gaussian": Normal(act), "gaussian": Normal(act)}
        self.act_noise = {"gaussian": Normal(act)}
        critic = Phase(self.critic_loss, ("critic",), updates_targets=("critic",))
        actor = Phase(self.actor_loss, ("actor", "temperature"))
        self.stages = (Stage((critic, actor)),)

    def online_phases(self) -> tuple[Phase, ...]:
        return self.stages[0].phases

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Eq. 5: twins regress on r + γ (min_i Q̄_i(s', a') − α log π(a' | s')), a' from π."""
        config = self.config
        mean, log_std = nets.frozen.actor(batch.next_observations)
        next_actions, log_prob = squashed_sample(mean, log_std, noise["next_gaussian"])
        next_q = nets.target.critic(batch.next_observations, next_actions).amin(1)
        alpha = nets.frozen.temperature().exp().unsqueeze(-1)
        next_value = next_q - alpha * log_prob
        backup = batch.rewards + config.discount * batch.masks * next_value
        q = nets.critic(batch.observations, batch.actions)
        loss = mean_squared_error(q, backup)
        return loss, {"critic/loss": loss, "critic/mean": q.mean((1, 2))}

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Eq. 9 of the policy, and of the temperature −log α (E log π + H̄) (Eq. 18, in log α)."""
        mean, log_std = nets.actor(batch.observations)
        actions, log_prob = squashed_sample(mean, log_std, noise["gaussian"])
        q = nets.frozen.critic(batch.observations, actions).amin(1)
        log_alpha = nets.temperature()
        alpha = log_alpha.detach().exp()
        policy_loss = (alpha.unsqueeze(-1) * log_prob - q).mean(-1)
        entropy = -log_prob.detach().mean(-1)
        temperature_loss = log_alpha * (entropy - self.target_entropy)
        metrics = {"actor/loss": policy_loss, "actor/entropy": entropy, "actor/temperature": alpha}
        return policy_loss + temperature_loss, metrics

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        mean, log_std = nets.actor(observations)
        return torch.tanh(mean + log_std.exp() * noise["gaussian"])
