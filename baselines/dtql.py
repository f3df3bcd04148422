"""DTQL: a one-step policy that climbs Q within the trust region of a diffusion policy.

Paper: Chen, Wang and Zhou, Diffusion Policies Creating a Trust Region for Offline Reinforcement
Learning, arXiv:2405.19690.
Code: official, TianyuCodings/Diffusion_Trusted_Q_Learning at 9a29cea, `agents/dtql.py`,
`agents/model.py`, `diffusion/` and `main.py`.

Deviations:
    - Networks: the diffusion policy's first linear layer, which has no activation and so makes one
      linear map with the second, is left out.
    - Activation and norm: the critics' layer norms add 1e-6 to the variance (official: 1e-5).
    - Schedule: where learning rates decay, those of critics and diffusion policy do so from the
      start (official: from the end of pretraining).
    - Rewards: as they are unless a suite says otherwise (official: 1 is subtracted on AntMaze).
    - Budget: the suite's, of which pretraining has a share. Official: 50 000 updates of
      pretraining, then 10⁶ on Gym, 2 · 10⁵ or 3 · 10⁵ on pen; 10 and 100 episodes every 50 000.
"""

from __future__ import annotations

from dataclasses import replace

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
    Uniform,
)
from algorithms.blocks.critics import data_values, expectile_loss, mean_squared_error
from algorithms.blocks.edm import Model, denoising_loss
from algorithms.blocks.noise_networks import noise_network
from algorithms.blocks.squashed_gaussian import SquashedGaussian
from algorithms.fields import Expectile, LearningRate, PolyakRate, Share, Weight, Widths
from algorithms.initialisation import Initialisation
from algorithms.networks import MLP, gaussian_log_prob

_SHRINKAGE = 1 + 1e-3  # divides the data's actions, of which ±1 would be infinite before the tanh


class DTQLConfig(Config):
    """DTQL's settings, with the official values for Gym locomotion."""

    hidden_dims: Widths = (256, 256, 256)  # width of every hidden layer
    normalize_observations: bool = False  # the networks see raw observations
    pretrain_share: Share = 0.05  # of the budget, without the one-step policy
    learning_rate: LearningRate = 3e-4  # Adam, both policies; 1e-5 to 3e-4 by task
    critic_learning_rate: LearningRate = 3e-4  # Adam, Q and V
    cosine_decay: bool = False  # of all learning rates to 0; on some tasks
    expectile: Expectile = 0.7  # τ of V; 0.9 on AntMaze
    tau: PolyakRate = 0.005  # Polyak rate of the critic that ranks actions
    alpha: Weight = 5.0  # α, weight of the trust region; 1 to 50 on Gym, 1500 on pen
    likelihood_weight: Weight = 0.0  # γ, of the data's log π of the one-step policy; 1 on AntMaze


class DTQL(Algorithm[DTQLConfig]):
    """min_π α L_diffusion(s, a) − E min_i Q_i(s, a) − γ E log π of the data, a drawn by π."""

    Config = DTQLConfig
    action_selection = "softmax-of-1024"
    selection_temperature = 1.0

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        hidden = config.hidden_dims
        self.networks = {
            "critic": MLP(
                obs + act, 1, hidden, 2, activation="mish", layer_norm=True, norm_first=True
            ),
            "value": MLP(obs, 1, hidden, activation="mish"),
            "behavior": noise_network(obs, act, hidden),
            "actor": SquashedGaussian(
                obs,
                act,
                hidden,
                log_std_range=(-5.0, 2.0),
                initialisation=Initialisation("orthogonal", bias=0.0),
            ),
        }
        policy = Adam(config.learning_rate, cosine_decay=config.cosine_decay)
        critic = Adam(config.critic_learning_rate, cosine_decay=config.cosine_decay)
        self.optimizers = {"critic": critic, "value": critic, "behavior": policy, "actor": policy}
        self.targets = {"critic": config.tau}
        self.noise = {
            "epsilon": Normal(act),
            "sigma": Uniform(1),
            "z": Normal(act),
            "policy_epsilon": Normal(act),
            "policy_sigma": Uniform(1),
        }
        self.act_noise = {"z": Normal(act)}
        critic_phase = Phase(self.critic_loss, ("critic", "value"))
        behavior_phase = Phase(self.behavior_loss, ("behavior",))
        self.stages = (
            Stage((critic_phase, behavior_phase), config.pretrain_share),
            Stage(
                (
                    replace(critic_phase, updates_targets=("critic",)),
                    behavior_phase,
                    Phase(self.actor_loss, ("actor",)),
                ),
                1 - config.pretrain_share,
            ),
        )

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """V by expectile on the smaller twin, Q on r + γ V(s'): IQL's without a target critic."""
        config = self.config
        q, value = data_values(nets, batch)
        value_loss = expectile_loss(q.detach().amin(1) - value, config.expectile).mean(-1)
        next_value = nets.frozen.value(batch.next_observations)
        backup = batch.rewards + config.discount * batch.masks * next_value
        critic_loss = mean_squared_error(q, backup)
        return value_loss + critic_loss, {
            "value/loss": value_loss,
            "value/mean": value.mean(-1),
            "critic/loss": critic_loss,
            "critic/mean": q.mean((1, 2)),
        }

    def behavior_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        loss = denoising_loss(
            self.denoiser(nets),
            batch.observations,
            batch.actions,
            noise["epsilon"],
            noise["sigma"],
        )
        return loss, {"behavior/loss": loss}

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """The diffusion policy's own loss, of the one-step policy's actions, holds these to it."""
        config, observations = self.config, batch.observations
        mean, log_std = nets.actor(observations)
        actions = torch.tanh(mean + log_std.exp() * noise["z"])
        trust_loss = denoising_loss(
            self.denoiser(nets.frozen),
            observations,
            actions,
            noise["policy_epsilon"],
            noise["policy_sigma"],
        )
        q_loss = -nets.frozen.critic(observations, actions).amin(1).mean(-1)
        loss = config.alpha * trust_loss + q_loss
        metrics = {"actor/trust_loss": trust_loss, "actor/q_loss": q_loss}
        if config.likelihood_weight:
            data = torch.atanh(batch.actions / _SHRINKAGE)
            metrics["actor/bc_loss"] = -gaussian_log_prob(data, mean, log_std).mean(-1)
            loss = loss + config.likelihood_weight * metrics["actor/bc_loss"]
        return loss, metrics

    def denoiser(self, nets: Networks) -> Model:
        """The diffusion policy's network; it counts steps from 1."""
        return lambda observations, x, step: nets.behavior(observations, x, step + 1)

    def action_value(self, nets: Networks, observations: Tensor, actions: Tensor) -> Tensor:
        q: Tensor = nets.target.critic(observations, actions)
        return q.amin(1)

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        mean, log_std = nets.actor(observations)
        action: Tensor = torch.tanh(mean + log_std.exp() * noise["z"])
        return action
