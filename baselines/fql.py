"""FQL: a behaviour flow, and a one-step policy distilled from it while climbing Q.

Paper: Park, Li and Levine, Flow Q-Learning, arXiv:2502.02538.
Code: official, seohongpark/fql at 719d044, `agents/fql.py`.

Deviations:
    - Targets: the target critic averages the critic as the update leaves it. Official: as it was
      before it.
    - Initialisation: PyTorch's, U(±1/√fan_in). Official: Glorot uniform, biases zero.
    - Rewards: as they are unless a suite says otherwise (official: 1 is subtracted on AntMaze).
    - Data: actions are not kept 1e-5 inside ±1.
    - Budget: the suite's (official, D4RL: 5 · 10⁵ updates, 50 episodes an evaluation).
"""

from __future__ import annotations

from typing import Literal

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
from algorithms.blocks.flow import flow_matching_loss, sample, velocity_network
from algorithms.fields import Count, LearningRate, PolyakRate, Weight, Widths
from algorithms.networks import MLP


class FQLConfig(Config):
    """FQL's settings, with the paper's values (Table 5)."""

    hidden_dims: Widths = (512, 512, 512, 512)  # width of every hidden layer
    normalize_observations: bool = False  # the networks see raw observations
    learning_rate: LearningRate = 3e-4  # Adam
    alpha: Weight = 10.0  # α: weight of the distillation, to be tuned for each task
    tau: PolyakRate = 0.005  # Polyak rate of the target critic
    flow_steps: Count = 10  # Euler steps of the behaviour flow
    q_aggregation: Literal["mean", "min"] = "mean"  # of the twins in the backup; min on Adroit
    normalize_q_loss: bool = False  # divide the Q term by mean |Q|
    layer_norm: bool = True  # in the critic


class FQL(Algorithm[FQLConfig]):
    """Critic on the one-step policy; L = L_flow + α |μ(s, z) − flow(s, z)|² − Q(s, μ(s, z))."""

    Config = FQLConfig

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.networks = {
            "critic": MLP(
                obs + act, 1, config.hidden_dims, 2, activation="gelu", layer_norm=config.layer_norm
            ),
            "flow": velocity_network(obs, act, config.hidden_dims),
            "actor": MLP(obs + act, act, config.hidden_dims, activation="gelu"),
        }
        self.optimizers = {name: Adam(config.learning_rate) for name in self.networks}
        self.targets = {"critic": config.tau}
        normal = Normal(act)
        self.noise = {"next_z": normal, "x0": normal, "z": normal, "time": Uniform(1)}
        self.act_noise = {"z": normal}
        networks = tuple(self.networks)
        self.stages = (Stage((Phase(self.loss, networks, updates_targets=("critic",)),)),)

    def loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        critic_loss, critic_metrics = self.critic_loss(nets, batch, noise)
        actor_loss, actor_metrics = self.actor_loss(nets, batch, noise)
        return critic_loss + actor_loss, critic_metrics | actor_metrics

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        config = self.config
        next_actions = nets.frozen.actor(batch.next_observations, noise["next_z"]).clamp(-1, 1)
        next_qs = nets.target.critic(batch.next_observations, next_actions)
        next_q = next_qs.amin(1) if config.q_aggregation == "min" else next_qs.mean(1)
        backup = batch.rewards + config.discount * batch.masks * next_q
        q = nets.critic(batch.observations, batch.actions)
        loss = mean_squared_error(q, backup) / 2  # the official loss averages over the twins
        return loss, {"critic/loss": loss, "critic/mean": q.mean((1, 2))}

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        config, observations = self.config, batch.observations
        flow_loss = flow_matching_loss(
            nets.flow, observations, batch.actions, noise["x0"], noise["time"]
        )
        target = sample(nets.frozen.flow, observations, noise["z"], config.flow_steps)
        actions = nets.actor(observations, noise["z"])
        distill_loss = (actions - target.clamp(-1, 1)).square().mean((1, 2))
        q = nets.frozen.critic(observations, actions.clamp(-1, 1)).mean(1)
        q_loss = -q.mean(-1)
        if config.normalize_q_loss:
            q_loss = q_loss / q.abs().mean(-1).detach()
        loss = flow_loss + config.alpha * distill_loss + q_loss
        return loss, {
            "flow/loss": flow_loss,
            "actor/distill_loss": distill_loss,
            "actor/q_loss": q_loss,
        }

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        actions: Tensor = nets.actor(observations, noise["z"])
        return actions
