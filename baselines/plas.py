"""PLAS: a policy that picks a latent, of which the decoder of a VAE of the data makes the action.

Paper: Zhou, Bajracharya and Held, PLAS: Latent Action Space for Offline Reinforcement Learning,
arXiv:2011.07213.
Code: official, Wenxuan-Zhou/PLAS at 9fbc6ff, `algos.py` and `main.py`.

Deviations:
    - Data: all of them (official: the last row is left out once the VAE is trained).
    - Budget: the suite's, of which the VAE has half (official: 5 · 10⁵ updates of the VAE, as many
      of the policy, 10 episodes each 1000 of them).
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
from algorithms.blocks.critics import mean_squared_error, soft_minimum
from algorithms.blocks.vae import decode, latent_dim, perturbed, vae_loss, vae_networks
from algorithms.fields import (
    Count,
    Fraction,
    LearningRate,
    PolyakRate,
    Positive,
    Share,
    Weight,
    Widths,
)
from algorithms.networks import MLP


class PLASConfig(Config):
    """PLAS's settings, with the official ones."""

    hidden_dims: Widths = (400, 300)  # hidden layers of policy, perturbation and critics
    vae_hidden_dims: Widths = (750, 750)  # hidden layers of encoder and decoder
    batch_size: Count = 100  # B, transitions per update
    normalize_observations: bool = False  # the networks see raw observations
    vae_share: Share = 0.5  # of the budget, in which the VAE learns
    vae_learning_rate: LearningRate = 1e-4  # Adam, encoder and decoder
    actor_learning_rate: LearningRate = 1e-4  # Adam, policy and perturbation
    critic_learning_rate: LearningRate = 1e-3  # Adam, critics
    divergence_weight: Weight = 0.5  # of the VAE's KL term
    max_latent: Positive = 2.0  # bound of each dimension of the policy's latent
    perturbation: Fraction = 0.0  # Φ, bound of the change to a decoded action; 0: none
    soft_minimum: Fraction = 0.75  # λ: weight of the smaller twin, 1 − λ of the larger
    tau: PolyakRate = 0.005  # τ, Polyak rate of the targets


class PLAS(Algorithm[PLASConfig]):
    """max_π E Q(s, D(s, π(s))), D the decoder of a VAE that was trained first."""

    Config = PLASConfig
    trained_together = (("encoder", "decoder"),)

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        latent = latent_dim(act)
        vae = vae_networks(obs, act, config.vae_hidden_dims)
        policy = {"actor": MLP(obs, latent, config.hidden_dims)}
        if config.perturbation:
            policy["perturbation"] = MLP(obs + act, act, config.hidden_dims)
        critic = {"critic": MLP(obs + act, 1, config.hidden_dims, ensemble=2)}
        self.networks = {**vae, **policy, **critic}
        self.optimizers = {
            **dict.fromkeys(vae, Adam(config.vae_learning_rate)),
            **dict.fromkeys(policy, Adam(config.actor_learning_rate)),
            **dict.fromkeys(critic, Adam(config.critic_learning_rate)),
        }
        self.targets = dict.fromkeys((*policy, *critic), config.tau)
        self.noise = {"encoded": Normal(latent)}
        self.stages = (
            Stage((Phase(self.vae_loss, tuple(vae)),), config.vae_share),
            Stage(
                (
                    Phase(self.critic_loss, ("critic",)),
                    Phase(self.actor_loss, tuple(policy), updates_targets=tuple(self.targets)),
                ),
                1 - config.vae_share,
            ),
        )

    def vae_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        return vae_loss(nets, batch, noise["encoded"], self.config.divergence_weight)

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Twins regress on r + γ [λ min_i Q̄_i(s', a') + (1 − λ) max_i Q̄_i(s', a')]."""
        config = self.config
        next_actions = self.policy(nets.target, nets.frozen, batch.next_observations)
        next_q = nets.target.critic(batch.next_observations, next_actions)
        next_value = soft_minimum(next_q, config.soft_minimum)
        backup = batch.rewards + config.discount * batch.masks * next_value
        q = nets.critic(batch.observations, batch.actions)
        loss = mean_squared_error(q, backup)
        return loss, {"critic/loss": loss, "critic/mean": q.mean((1, 2))}

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """−E Q_1(s, D(s, π(s)))."""
        actions = self.policy(nets, nets.frozen, batch.observations)
        loss = -nets.frozen.critic(batch.observations, actions)[:, 0].mean(-1)
        return loss, {"actor/loss": loss}

    def policy(self, nets: Networks, vae: Networks, observations: Tensor) -> Tensor:
        """The actions of the policy in `nets`, decoded by `vae`. -> [S, B, action_dim]."""
        latents = self.config.max_latent * torch.tanh(nets.actor(observations))
        actions = decode(vae.decoder, observations, latents)
        bound = self.config.perturbation
        return perturbed(nets.perturbation, observations, actions, bound) if bound else actions

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        return self.policy(nets, nets, observations)
