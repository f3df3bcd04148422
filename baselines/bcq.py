"""BCQ: the best of actions that a generative model of the data proposes, each slightly changed.

Paper: Fujimoto, Meger and Precup, Off-Policy Deep Reinforcement Learning without Exploration,
arXiv:1812.02900.
Code: official, sfujim/BCQ at 4876f7e, `continuous_BCQ/BCQ.py`.

Deviations:
    - Budget: the suite's (official: 10⁶ updates, 10 episodes every 5000).

What follows is as in the official code, and the paper differs:
    - Acts by the best of 100 proposals (paper: of 10).
    - The VAE's loss takes means over dimensions (paper: sums).
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
)
from algorithms.blocks.critics import mean_squared_error, soft_minimum
from algorithms.blocks.vae import decode, latent_dim, likely, perturbed, vae_loss, vae_networks
from algorithms.fields import Count, Fraction, LearningRate, PolyakRate, Weight, Widths
from algorithms.networks import MLP


class BCQConfig(Config):
    """BCQ's settings, with the official ones."""

    hidden_dims: Widths = (400, 300)  # hidden layers of the perturbation and of the critics
    vae_hidden_dims: Widths = (750, 750)  # hidden layers of encoder and decoder
    batch_size: Count = 100  # B, transitions per update
    normalize_observations: bool = False  # the networks see raw observations
    learning_rate: LearningRate = 1e-3  # Adam, of all networks
    divergence_weight: Weight = 0.5  # of the VAE's KL term
    perturbation: Fraction = 0.05  # Φ, bound of the change to a proposed action
    soft_minimum: Fraction = 0.75  # λ: weight of the smaller twin, 1 − λ of the larger
    samples: Count = 10  # n, proposals of which a backup takes the best
    tau: PolyakRate = 0.005  # τ, Polyak rate of the targets


class BCQ(Algorithm[BCQConfig]):
    """π(s) = argmax_i Q(s, a_i + ξ(s, a_i)), a_i of a VAE of the data, |ξ| <= Φ (Algorithm 1)."""

    Config = BCQConfig
    action_selection = "best-of-100"
    trained_together = (("encoder", "decoder"),)

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.networks = {
            **vae_networks(obs, act, config.vae_hidden_dims),
            "perturbation": MLP(obs + act, act, config.hidden_dims),
            "critic": MLP(obs + act, 1, config.hidden_dims, ensemble=2),
        }
        self.optimizers = {name: Adam(config.learning_rate) for name in self.networks}
        self.targets = {"perturbation": config.tau, "critic": config.tau}
        latent = latent_dim(act)
        self.noise = {
            "encoded": Normal(latent),
            "next_latent": Normal(config.samples * latent),
            "latent": Normal(latent),
        }
        self.act_noise = {"latent": Normal(latent)}
        phases = (
            Phase(self.vae_loss, ("encoder", "decoder")),
            Phase(self.critic_loss, ("critic",)),
            Phase(self.actor_loss, ("perturbation",), updates_targets=("perturbation", "critic")),
        )
        self.stages = (Stage(phases),)

    def vae_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        return vae_loss(nets, batch, noise["encoded"], self.config.divergence_weight)

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Twins regress on r + γ max_i [λ min_j Q̄_j(s', a_i) + (1 − λ) max_j ...]."""
        config = self.config
        observations = batch.next_observations.repeat_interleave(config.samples, 1)
        latents = noise["next_latent"].reshape(*observations.shape[:2], -1)
        proposed = decode(nets.frozen.decoder, observations, likely(latents))
        next_actions = perturbed(
            nets.target.perturbation, observations, proposed, config.perturbation
        )
        next_q = soft_minimum(nets.target.critic(observations, next_actions), config.soft_minimum)
        best = next_q.view(*batch.rewards.shape, config.samples).amax(-1)
        backup = batch.rewards + config.discount * batch.masks * best
        q = nets.critic(batch.observations, batch.actions)
        loss = mean_squared_error(q, backup)
        return loss, {"critic/loss": loss, "critic/mean": q.mean((1, 2))}

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """−E Q_1(s, a + ξ(s, a)), a of the VAE."""
        proposed = decode(nets.frozen.decoder, batch.observations, likely(noise["latent"]))
        actions = perturbed(
            nets.perturbation, batch.observations, proposed, self.config.perturbation
        )
        loss = -self._first(nets.frozen, batch.observations, actions).mean(-1)
        return loss, {"actor/loss": loss}

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        proposed = decode(nets.decoder, observations, likely(noise["latent"]))
        return perturbed(nets.perturbation, observations, proposed, self.config.perturbation)

    def action_value(self, nets: Networks, observations: Tensor, actions: Tensor) -> Tensor:
        return self._first(nets, observations, actions)

    @staticmethod
    def _first(nets: Networks, observations: Tensor, actions: Tensor) -> Tensor:
        """Q_1: the first twin's value, which proposals are ranked by. -> [S, B]."""
        q: Tensor = nets.critic(observations, actions)
        return q[:, 0]
