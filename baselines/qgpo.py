"""QGPO: a diffusion model of the data, sampled along the gradient of an energy learned by contrast.

Paper: Lu et al., Contrastive Energy Prediction for Exact Energy-Guided Diffusion Sampling in
Offline Reinforcement Learning, arXiv:2304.12824.
Code: official, thu-ml/CEP-energy-guided-diffusion at 4cc0622, in `Offline_RL_2D/`
`train_behavior.py`, `train_critic.py` and `diffusion_SDE/model.py`.

Deviations:
    - Networks: the frequencies of both time features are the quantiles of |N(0, 30²)|. Official:
      each network draws its own once.
    - Rewards: as the suite says. Official: episodes' returns span 1000 on Gym locomotion
      (`reward_transform: return-range`), 1 is subtracted on AntMaze. Its episodes go on behind a
      time limit to 1000 steps, as the step there is left out of its data.
    - Data: drawn with replacement (official: in passes over the shuffled data).
    - Budget: the suite's, in the official proportions (official: 6 · 10⁵ updates of the behaviour,
      then 10⁶ of the guidance, the first half of them with the critics; 10 episodes every 40 000).
    - Selection: one guidance scale for a run (official: seven are evaluated, of which the paper
      takes one for each task).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.base import (
    Adam,
    Algorithm,
    Batch,
    Column,
    Config,
    Loss,
    Networks,
    Noise,
    Normal,
    Phase,
    Stage,
    Uniform,
)
from algorithms.blocks.critics import mean_squared_error
from algorithms.blocks.score_networks import GuidanceNetwork, ScoreUNet
from algorithms.blocks.vp_sde import denoising_loss, noise_level, perturb, sample
from algorithms.fields import Count, LearningRate, PolyakRate, Share, Weight, Widths
from algorithms.networks import MLP


class QGPOConfig(Config):
    """QGPO's settings, with the official values for Gym locomotion."""

    hidden_dims: Widths = (256, 256, 256)  # hidden layers of the critics
    guidance_dims: Widths = (256, 256, 256, 256)  # hidden layers of the guidance
    behavior_dims: Widths = (512, 256, 128)  # widths of the behaviour's narrowing blocks
    normalize_observations: bool = False  # the networks see raw observations
    batch_size: Count = 4096  # transitions per update of the behaviour
    critic_batch_size: Count = 256  # of them, the first, for the critics and the guidance
    behavior_share: Share = 0.375  # of the budget, in which the behaviour learns
    critic_share: Share = 0.5  # of what is left, in which the critics learn beside the guidance
    behavior_learning_rate: LearningRate = 1e-4  # Adam, behaviour
    learning_rate: LearningRate = 3e-4  # Adam, critics and guidance
    support_actions: Count = 16  # K, the behaviour's actions in a state
    beta: Weight = 3.0  # β of π ∝ μ exp(β Q)
    backup_beta: Weight = 1.0  # β_Q, of the policy that backups take, as in the README's command
    guidance_scale: Weight = 1.0  # s, factor on the guidance; 1 to 10 by task
    tau: PolyakRate = 0.005  # Polyak rate of the target critics
    diffusion_steps: Count = 15  # evaluations of the networks for an action


class QGPO(Algorithm[QGPOConfig]):
    """Acts by π ∝ μ exp(β Q): the diffusion of μ plus ∇f, f_t(s, x) = log E[exp(β Q(s, a)) | x]."""

    Config = QGPOConfig
    cheap: ClassVar = {"behavior_dims": (8, 8), "guidance_dims": (8, 8), "support_actions": 3}

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.networks = {
            "behavior": ScoreUNet(obs, act, config.behavior_dims),
            "critic": MLP(obs + act, 1, config.hidden_dims, ensemble=2),
            "guidance": GuidanceNetwork(obs, act, config.guidance_dims),
        }
        self.optimizers = {
            "behavior": Adam(config.behavior_learning_rate),
            "critic": Adam(config.learning_rate),
            "guidance": Adam(config.learning_rate),
        }
        self.targets = {"critic": config.tau}
        # The noise of the few states' many actions is spread over all of a batch.
        self._states = min(config.critic_batch_size, config.batch_size)
        draws = math.ceil(self._states * config.support_actions / config.batch_size)
        self.noise = {
            "epsilon": Normal(act),
            "time": Uniform(1),
            "support_epsilon": Normal(draws * act),
        }
        self.act_noise = {"start": Normal(act)}
        start = Normal(config.support_actions * act)
        behavior = Phase(self.behavior_loss, ("behavior",))
        critic = Phase(self.critic_loss, ("critic",), updates_targets=("critic",))
        guidance = Phase(self.guidance_loss, ("guidance",))
        drawn = Column(self.draw_support, dim=config.support_actions * act, noise={"start": start})
        next_drawn = replace(drawn, evaluate=self.draw_next_support)
        kept = Column(lambda _, batch: batch.columns["support"], dim=drawn.dim)
        left = 1 - config.behavior_share
        self.stages = (
            Stage((behavior,), config.behavior_share, act=self.act_as_behavior),
            Stage(
                (critic, guidance),
                left * config.critic_share,
                columns={"support": drawn, "next_support": next_drawn},
            ),
            Stage((guidance,), left * (1 - config.critic_share), columns={"support": kept}),
        )

    def behavior_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        loss = denoising_loss(
            nets.behavior, batch.observations, batch.actions, noise["epsilon"], noise["time"]
        )
        return loss, {"behavior/loss": loss}

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Twins regress on r + γ Σ_k softmax_k(β_Q Q̄') Q̄'_k, of actions a'_k ~ μ."""
        batch, config = self._few(batch), self.config
        _, next_q = self._support(nets, batch.next_observations, batch.columns["next_support"])
        next_value = (torch.softmax(config.backup_beta * next_q, -1) * next_q).sum(-1)
        backup = batch.rewards + config.discount * batch.masks * next_value
        q = nets.critic(batch.observations, batch.actions)
        loss = mean_squared_error(q, backup) / 2  # the official loss averages over the twins
        return loss, {"critic/loss": loss, "critic/mean": q.mean((1, 2))}

    def guidance_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Which of the actions, all as noisy, is the good one: −Σ_k p_k log softmax_k(f_t).

        p = softmax(β Q̄), of actions a_k ~ μ.
        """
        batch, count = self._few(batch), self.config.support_actions
        observations = batch.observations
        actions, q = self._support(nets, observations, batch.columns["support"])
        uniform = noise["time"][:, : self._states].repeat_interleave(count, 1)  # one for a state
        epsilon = noise["support_epsilon"].reshape(len(actions), -1, self.action_dim)
        epsilon = epsilon[:, : actions.shape[1]]
        x, time = perturb(actions, epsilon, uniform)
        f = nets.guidance(observations.repeat_interleave(count, 1), x, time)
        truth = torch.softmax(self.config.beta * q, -1)
        guess = torch.log_softmax(f.unflatten(1, (-1, count)), -1)
        loss = -(truth * guess).sum(-1).mean(-1)
        return loss, {"guidance/loss": loss}

    def draw_support(self, nets: Networks, batch: Batch, noise: Noise) -> Tensor:
        """K actions of the behaviour in every state. -> [S, B, K * action_dim]."""
        return self._drawn(nets, batch.observations, noise["start"])

    def draw_next_support(self, nets: Networks, batch: Batch, noise: Noise) -> Tensor:
        return self._drawn(nets, batch.next_observations, noise["start"])

    def _drawn(self, nets: Networks, observations: Tensor, start: Tensor) -> Tensor:
        states = observations.repeat_interleave(self.config.support_actions, 1)
        begun = start.view(*states.shape[:2], self.action_dim)
        actions = sample(nets.frozen.behavior, states, begun, self.config.diffusion_steps)
        return actions.view_as(start)

    def _support(
        self, nets: Networks, observations: Tensor, column: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The K actions of every state, and what the smaller target says of them.

        [S, B, obs_dim], [S, B, K * action_dim] -> [S, B * K, action_dim], [S, B, K].
        """
        count = self.config.support_actions
        states = observations.repeat_interleave(count, 1)
        actions = column.reshape(*states.shape[:2], self.action_dim)
        q = nets.target.critic(states, actions).amin(1).unflatten(1, (-1, count))
        return actions, q

    def _few(self, batch: Batch) -> Batch:
        """What the critics and the guidance see of it."""
        return batch.map(lambda field: field[:, : self._states])

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        """One sample of the guided diffusion, ε − s σ_t ∇f_t."""

        def epsilon(states: Tensor, x: Tensor, time: Tensor) -> Tensor:
            slope = torch.func.grad(lambda at: nets.guidance(states, at, time).sum())(x)
            scale = self.config.guidance_scale * noise_level(time)
            guided: Tensor = nets.behavior(states, x, time) - scale * slope
            return guided

        return sample(epsilon, observations, noise["start"], self.config.diffusion_steps)

    def act_as_behavior(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        """A sample of the behaviour. [S, E, obs_dim] -> [S, E, action_dim]."""
        return sample(nets.behavior, observations, noise["start"], self.config.diffusion_steps)
