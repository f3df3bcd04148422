"""MeanFlowQL: a policy from noise to action in one step, by mean flow, that climbs Q.

Paper: Wang et al., One-Step Generative Policies with Q-Learning: A Reformulation of MeanFlow,
arXiv:2511.13035, on Geng et al., Mean Flows for One-step Generative Modeling, arXiv:2505.13447.
Code: official, HiccupRL/MeanFlowQL at 3fab100, `agents/meanflowql.py`, `utils/dit_jax.py` and
`main_meanflowql.py`.

The policy is g(s, x, t) = x − u(s, x, t), u the average velocity from the action to time t; an
action is g(s, e, 1) of noise e. It is one network that clones, acts and climbs, each in one call.

Deviations:
    - Losses: α is constant. Official: after a tenth of the run, in every 2000th update, it is
      multiplied by 1.2 where the cloning loss is five times the mean of the last 20 such updates,
      and by 0.8 where it is a fifth of it, between a tenth and ten times of what it was.
    - Losses: times are continuous, the code's default. Official commands: on a grid of 50 or 100,
      which holds t = 1.
    - Networks: the policy has no vector for its token's position (official: one, that adds to the
      bias of its first layer).
    - Initialisation: normal weights of the policy (official: truncated at two deviations).
    - Schedule: the policy's cosine begins with the run and stops at a tenth. Official: it begins
      after the warm-up and ends at a tenth.
    - Rewards: as they are unless a suite says otherwise (official: 1 is subtracted on AntMaze).
    - Observations: normalised by their own mean and deviation + 1e-3. Official: + 0, and by those
      of a buffer of two million rows, most of which are zeros where the data are fewer.
    - Data: actions are not kept 1e-5 inside ±1.
    - Budget: the suite's (official: 10⁶ updates, 50 episodes every 10⁵).
    - Selection: the last policy. Official: a run stops after as many evaluations without more
      success as a flag says, six by default.

The paper backs up the best of half the candidates and so does the code mean to do, but as its count
is traced it takes all of them: so does this file.
"""

from __future__ import annotations

from typing import Literal

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
from algorithms.blocks.critics import mean_squared_error
from algorithms.blocks.diffusion_transformer import OneTokenTransformer
from algorithms.blocks.flow_actor_critic import q_loss
from algorithms.blocks.mean_flow import mean_flow_loss
from algorithms.fields import Count, Fraction, LearningRate, PolyakRate, Positive, Weight, Widths
from algorithms.initialisation import GLOROT
from algorithms.networks import MLP


class MeanFlowConfig(Config):
    """MeanFlowQL's settings, with the official code's values."""

    hidden_dims: Widths = (512, 512, 512, 512)  # width of every hidden layer of the critic
    actor_dim: Count = 256  # width of the policy's transformer
    actor_blocks: Count = 3  # of the transformer
    learning_rate: LearningRate = 1e-4  # Adam, policy; decays to a tenth along a cosine
    warmup_steps: Count = 50_000  # updates over which the policy's rate rises: 5% of the official
    critic_learning_rate: LearningRate = 3e-4  # Adam, critic
    max_grad_norm: Positive = 1.0  # of each network
    alpha: Weight = 10.0  # α: weight of cloning, to be tuned for each task
    power: Fraction = 0.2  # p = 1 − γ: squared errors weigh 1 / (δ² + 10⁻⁴)^p
    bound_weight: Weight = 1.0  # of how far actions are beyond ±1
    candidates: Count = 5  # K: a backup is of the best of so many actions; 1 on some tasks
    tau: PolyakRate = 0.005  # Polyak rate of the target critic
    q_aggregation: Literal["mean", "min"] = "mean"  # of the twins in the backup
    normalize_q_loss: bool = False  # divide the Q term by mean |Q|


class MeanFlow(Algorithm[MeanFlowConfig]):
    """min α L_mean-flow − E Q(s, a) + E (|a| − 1)₊, a = g(s, e, 1) in one evaluation."""

    Config = MeanFlowConfig
    action_selection = "best-of-5"

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.networks = {
            "critic": MLP(
                obs + act,
                1,
                config.hidden_dims,
                ensemble=2,
                activation="gelu",
                layer_norm=True,
                initialisation=GLOROT,
            ),
            "actor": OneTokenTransformer(obs + act, act, config.actor_dim, config.actor_blocks),
        }
        self.optimizers = {
            "critic": Adam(config.critic_learning_rate, max_grad_norm=config.max_grad_norm),
            "actor": Adam(
                config.learning_rate,
                cosine_decay=True,
                max_grad_norm=config.max_grad_norm,
                warmup=config.warmup_steps,
                floor=0.1,
            ),
        }
        self.targets = {"critic": config.tau}
        normal = Normal(act)
        self.noise = {
            "next_z": Normal(config.candidates * act),
            "e": normal,
            "time": Uniform(1),
            "z": normal,
        }
        self.act_noise = {"z": normal}
        phase = Phase(self.loss, ("critic", "actor"), updates_targets=("critic",))
        self.stages = (Stage((phase,)),)

    def loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        critic_loss, critic_metrics = self.critic_loss(nets, batch, noise)
        actor_loss, actor_metrics = self.actor_loss(nets, batch, noise)
        return critic_loss + actor_loss, critic_metrics | actor_metrics

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Twins regress on r + γ Q̄(s', a'), a' the best of K by the mean of the target twins."""
        config, count = self.config, self.config.candidates
        observations = batch.next_observations.repeat_interleave(count, 1)
        draws = noise["next_z"].reshape(*observations.shape[:2], -1)
        actions = self.policy(nets.frozen, observations, draws).clamp(-1, 1)
        next_qs = nets.target.critic(observations, actions).unflatten(-1, (-1, count))
        best = next_qs.mean(1, keepdim=True).argmax(-1, keepdim=True)  # [S, 1, B, 1]
        next_qs = next_qs.gather(-1, best.expand(-1, 2, -1, -1)).squeeze(-1)
        next_q = next_qs.amin(1) if config.q_aggregation == "min" else next_qs.mean(1)
        backup = batch.rewards + config.discount * batch.masks * next_q
        q = nets.critic(batch.observations, batch.actions)
        loss = mean_squared_error(q, backup) / 2  # the official loss averages over the twins
        return loss, {"critic/loss": loss, "critic/mean": q.mean((1, 2))}

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        config, observations = self.config, batch.observations
        bc_loss = mean_flow_loss(
            nets.actor, observations, batch.actions, noise["e"], noise["time"], config.power
        )
        actions = self.policy(nets, observations, noise["z"])
        bound_loss = (actions.abs() - 1).clamp(min=0).mean((1, 2))
        climb = q_loss(nets, observations, actions.clamp(-1, 1), normalize=config.normalize_q_loss)
        loss = config.alpha * bc_loss + climb + config.bound_weight * bound_loss
        return loss, {
            "actor/bc_loss": bc_loss,
            "actor/q_loss": climb,
            "actor/bound_loss": bound_loss,
        }

    def policy(self, nets: Networks, observations: Tensor, z: Tensor) -> Tensor:
        """Actions from noise z, unclipped. [S, B, obs_dim], [S, B, action_dim] -> like z."""
        actions: Tensor = nets.actor(observations, z, torch.ones_like(z[..., :1]))
        return actions

    def action_value(self, nets: Networks, observations: Tensor, actions: Tensor) -> Tensor:
        q: Tensor = nets.target.critic(observations, actions)
        return q.mean(1)

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        return self.policy(nets, observations, noise["z"])
