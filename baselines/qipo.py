"""QIPO: flow matching of a policy's own actions weighted by the softmax of Q, again and again.

Paper: Zhang, Zhang and Gu, Energy-Weighted Flow Matching for Offline Reinforcement Learning,
arXiv:2503.04975, the variant QIPO-OT.
Code: none of the authors' was found. Others', of a later paper's baseline on FQL's code base,
jaehyeokdoo2/qflow at 703bda9, `agents/qipo.py` and `scripts/run_qipo.sh`.

The paper was at hand in abstract and in others' accounts of its Algorithm 2 alone: the losses are
derived from these. Flow matching that weighs an action a ~ π by exp(β Q(s, a)) learns the flow of
π exp(β Q). After a warm-up of behaviour and Q, each iteration does that to what the one before has
learned: π_l ∝ μ exp(l β Q), but for the data's action, which is always one of those weighed.

Deviations:
    - Losses: all actions of a state's support are learned from, as in the paper. Code: the data's
      alone, whose weight the others only lower.
    - Update order: a warm-up and then iterations, as in the paper; Q learns on in these. Code: all
      from the start, the support from the policy of the moment.
    - Targets: the target critic averages the critic as the update leaves it. Code: as it was before
      it.
    - Initialisation: PyTorch's, U(±1/√fan_in). Code: Glorot uniform, biases zero.
    - Rewards: as they are unless a suite says otherwise (code: 1 is subtracted on AntMaze).
    - Data: actions are not kept 1e-5 inside ±1. Support actions are drawn anew for every batch,
      from the policy as an iteration found it. Paper: once an iteration, for every state.
    - Budget: the suite's; the shares of warm-up and iterations are choices (code: 10⁶ updates).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from algorithms.base import Batch, Loss, Networks, Noise, Normal, Phase, Stage, Uniform
from algorithms.blocks.critics import mean_squared_error
from algorithms.blocks.flow import Velocity, flow_matching_loss, path_point, sample
from algorithms.blocks.flow_actor_critic import FlowActorCritic, FlowActorCriticConfig
from algorithms.fields import Count, Share, Weight


class QIPOConfig(FlowActorCriticConfig):
    """QIPO's settings, with the values of the code's script."""

    beta: Weight = 3.0  # β: inverse temperature of the weights and of the backup
    support_actions: Count = 8  # M, drawn from the policy in every state; 16 to 64 in the paper
    behavior_share: Share = 0.375  # of the budget, in which behaviour and Q warm up
    iterations: Count = 5  # L: how often the support is renewed


class QIPO(FlowActorCritic[QIPOConfig]):
    """min E Σ_j softmax_j(β Q(s, a_j)) |u(s, x_t, t) − (a_j − x_0)|², a_0 of the data, a_j of π."""

    Config = QIPOConfig
    cheap: ClassVar = {"support_actions": 3}

    def create(self) -> None:
        config, act, count = self.config, self.action_dim, self.config.support_actions
        self.create_actor_critic()
        self.networks["support"] = self.networks["flow"]  # the policy that an iteration starts from
        self.targets["flow"] = 1.0  # 1: itself, to copy from
        self.noise = {
            "next_z": Normal(count * act),
            "support_z": Normal(count * act),
            "x0": Normal((1 + count) * act),
            "time": Uniform(1 + count),
        }
        trained = ("critic", "flow")
        warm_up = Phase(self.warm_up_loss, trained, updates_targets=trained)
        improve = Phase(self.loss, trained, updates_targets=trained)
        share = (1 - config.behavior_share) / config.iterations
        self.stages = (
            Stage((warm_up,), config.behavior_share),
            *[Stage((improve,), share, copies={"support": "flow"})] * config.iterations,
        )

    def warm_up_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Flow matching of the data, and the critic."""
        critic_loss, metrics = self.critic_loss(nets, batch, noise)
        x0, time = noise["x0"][..., : self.action_dim], noise["time"][..., :1]
        flow_loss = flow_matching_loss(nets.flow, batch.observations, batch.actions, x0, time)
        return critic_loss + flow_loss, {**metrics, "flow/loss": flow_loss}

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Twins regress on r + γ Σ_j softmax_j(β Q̄') Q̄'_j, of actions a'_j ~ π."""
        config, following = self.config, batch.next_observations
        actions = self.support(nets.frozen.flow, following, noise["next_z"])
        next_q = self.values(nets.target, following, actions)
        next_value = (torch.softmax(config.beta * next_q, -1) * next_q).sum(-1)
        backup = batch.rewards + config.discount * batch.masks * next_value
        q = nets.critic(batch.observations, batch.actions)
        loss = mean_squared_error(q, backup) / 2  # the code's loss averages over the twins
        return loss, {"critic/loss": loss, "critic/mean": q.mean((1, 2))}

    def policy_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        config, observations = self.config, batch.observations
        drawn = self.support(nets.frozen.support, observations, noise["support_z"])
        actions = torch.cat([batch.actions.unsqueeze(2), drawn], 2)
        weights = torch.softmax(config.beta * self.values(nets.frozen, observations, actions), -1)
        x0, time = noise["x0"].view_as(actions), noise["time"].unsqueeze(-1)
        x, rate = (each.flatten(1, 2) for each in path_point("linear", x0, actions, time))
        states = observations.repeat_interleave(actions.shape[2], 1)
        error = (nets.flow(states, x, time.flatten(1, 2)) - rate).square().mean(-1)
        loss = (weights * error.view_as(weights)).sum(-1).mean(-1)
        return loss, {"flow/loss": loss, "flow/data_weight": weights[..., 0].mean(-1)}

    def support(self, velocity: Velocity, observations: Tensor, z: Tensor) -> Tensor:
        """M clipped actions of a flow in every state, from noise `[S, B, M * action_dim]`.

        [S, B, obs_dim] -> [S, B, M, action_dim].
        """
        count = self.config.support_actions
        states = observations.repeat_interleave(count, 1)
        start = z.reshape(*states.shape[:2], -1)
        actions = sample(velocity, states, start, self.config.flow_steps).clamp(-1, 1)
        return actions.view(*observations.shape[:2], count, -1)

    def values(self, nets: Networks, observations: Tensor, actions: Tensor) -> Tensor:
        """What the twins say of several actions a state. [S, B, ·], [S, B, M, ·] -> [S, B, M]."""
        count = actions.shape[2]
        states = observations.repeat_interleave(count, 1)
        q: Tensor = nets.critic(states, actions.flatten(1, 2))
        q = q.amin(1) if self.config.q_aggregation == "min" else q.mean(1)
        return q.view(actions.shape[:3])
