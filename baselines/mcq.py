"""MCQ: SAC on data alone, whose critics think of its actions as well as of the data's best ones.

Paper: Lyu et al., Mildly Conservative Q-Learning for Offline Reinforcement Learning,
arXiv:2206.04745.
Code: official, dmksjfl/MCQ at 1f27c77, `offlinerl/algo/modelfree/MCQ.py` and
`offlinerl/config/algo/MCQ_config.py`.

Deviations:
    - Losses: one objective on all tasks, the paper's. Official: on hopper/medium and on
      medium-expert and expert data of hopper and halfcheetah, values at the policy's actions are
      held down only where these are far from the VAE's, and by 5 more; on some mazes only where
      they are above their target; and a target below 0 is raised to 0.
    - Losses: the twins see the same sampled actions. Official: each samples its own.
    - Losses: the VAE's is divided by the number of action dimensions, which Adam's step does not
      notice but for its ε.
    - Losses: log π is exact. Official: 1e-6 is added to 1 − a² in it.
    - Update order: the temperature steps with the policy, after the critics. Official: before them.
    - Observations: as they are. Official: divided by 1 + 1e-6 in training.
    - Budget: the suite's (official: 10⁶ updates).

Three hidden layers of policy and critics, and sampled actions at next states as well as at states,
are the official code's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.base import Adam, Algorithm, Batch, Loss, Networks, Noise, Normal, Phase, Stage
from algorithms.blocks.squashed_gaussian import SquashedGaussian, squashed_sample
from algorithms.blocks.vae import decode, latent_dim, likely, vae_loss, vae_networks
from algorithms.fields import Count, Fraction, LearningRate, Weight, Widths
from baselines.sac import SAC, SACConfig

_LOG_STD_RANGE = (-5.0, 2.0)


class MCQConfig(SACConfig):
    """MCQ's settings, with the official ones."""

    hidden_dims: Widths = (400, 400, 400)  # hidden layers of policy and critics
    vae_hidden_dims: Widths = (750, 750)  # hidden layers of encoder and decoder
    vae_learning_rate: LearningRate = 1e-3  # Adam, encoder and decoder
    divergence_weight: Weight = 2.0  # of the VAE's KL term, of means; 1 of sums
    td_weight: Fraction = 0.7  # λ: weight of the TD error, 1 − λ of the other; 0.5 to 0.95 on Gym
    samples: Count = 10  # N, actions of the policy and of the VAE for each state


class MCQ(SAC):
    """λ TD error + (1 − λ) E (Q(s, a) − min_i max_j Q_i(s, a_j))², a of π, a_j of a VAE."""

    Config = MCQConfig
    config: MCQConfig
    trained_together = (("encoder", "decoder"),)
    trained_at_next = ("critic",)
    online_phases = Algorithm.online_phases  # from data alone

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        super().create()  # the critics, the temperature, the averages and acting are SAC's
        vae = vae_networks(obs, act, config.vae_hidden_dims)
        self.networks |= vae
        self.networks["actor"] = SquashedGaussian(obs, act, config.hidden_dims, _LOG_STD_RANGE)
        self.optimizers |= dict.fromkeys(vae, Adam(config.vae_learning_rate))
        latent, states = latent_dim(act), 2 * config.samples  # of s and of s'
        self.noise = {
            **self.noise,
            "encoded": Normal(latent),
            "policy_gaussian": Normal(states * act),
            "latent": Normal(states * latent),
        }
        (stage,) = self.stages
        self.stages = (Stage((Phase(self.vae_loss, tuple(vae)), *stage.phases)),)

    def vae_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        return vae_loss(nets, batch, noise["encoded"], self.config.divergence_weight)

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        td_loss, metrics = super().critic_loss(nets, batch, noise)
        policy_loss = self.policy_loss(nets, batch, noise)
        weight = self.config.td_weight
        loss = weight * td_loss + (1 - weight) * policy_loss
        return loss, {**metrics, "critic/policy_loss": policy_loss}

    def policy_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Tensor:
        """Twins regress, at the policy's actions, on the smaller twin's best of the VAE's. -> [S].

        At states and next states alike.
        """
        states = torch.stack([batch.observations, batch.next_observations], 2).flatten(1, 2)
        observations = states.repeat_interleave(self.config.samples, 1)

        def each(x: Tensor) -> Tensor:  # [S, B, 2 * samples * dim] -> [S, B * 2 * samples, dim]
            return x.reshape(*observations.shape[:2], -1)

        def values(critic: Networks, actions: Tensor) -> Tensor:  # -> [S, E, B * 2, samples]
            q: Tensor = critic.critic(observations, actions)
            return q.view(*q.shape[:2], -1, self.config.samples)

        proposed = decode(nets.frozen.decoder, observations, likely(each(noise["latent"])))
        target = values(nets.frozen, proposed).amax(-1).amin(1)  # [S, B * 2]
        mean, log_std = nets.frozen.actor(observations)
        actions, _ = squashed_sample(mean, log_std, each(noise["policy_gaussian"]))
        gap = values(nets, actions) - target[:, None, :, None]
        return gap.square().mean((-2, -1)).sum(1)
