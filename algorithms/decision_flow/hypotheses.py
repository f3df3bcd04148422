"""Decision Flow with one thing more, each against what may hold it back.

Paper: Hu et al., Decision Flow Policy Optimization, arXiv:2505.20350.
Code: none at hand; each class adds one thing to `algorithms/decision_flow/decision_flow.py`.

Symbols are those of `decision_flow.py`; docs/algorithms/ablations.md has the suite that tests them.

What follows comes on top of the list in `decision_flow.py`; the paper's choice is unknown.

Deviations:
    - Losses: Q backs up the flow policy's own actions, less their price, as BDPO's does
      (arXiv:2502.04778): one action, and prices in units of κ.
    - Losses: the best of N behaviour samples as flow-matching targets beside the gradient are ours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.base import Batch, Loss, Networks, Noise
from algorithms.blocks.critics import DataValues, data_values, iql_critic_loss
from algorithms.blocks.flow import flow_matching_loss
from algorithms.decision_flow.ablations import JointCritic
from algorithms.decision_flow.decision_flow import DecisionFlowConfig, DivergenceDecisionFlow
from algorithms.decision_flow.flow_mdp import batch_to_steps, decisions_of, steps_to_batch
from algorithms.engine.acting import best_of
from algorithms.fields import Several, Weight


class ActorCritic(JointCritic):
    """Q backs up the flow policy's own actions, less the price of making them, as BDPO's does.

    V goes on as in `JointCritic`, the expectile of Q over the data's actions, but is no more than
    A's baseline; κ is the size of that A on the data, so one ρ means the same in the backup, in the
    policy's loss, and in IQL's A.
    """

    def joint_loss(self, nets: Networks, batch: Batch, noise: Noise, rho: float) -> Loss:
        data = data_values(nets, batch)
        loss, metrics = self.flow_policy_iteration(nets, batch, noise, data, rho)
        paid = self.value_scale(data).unsqueeze(-1) * self.price(data, rho)
        critic_loss, critic_metrics, _ = iql_critic_loss(
            nets,
            batch,
            data,
            discount=self.config.discount,
            expectile=self.config.expectile,
            pessimistic=self.pessimistic,
            next_value=self.next_value(nets, batch, noise, paid),
        )
        return loss + critic_loss, metrics | critic_metrics

    def next_value(self, nets: Networks, batch: Batch, noise: Noise, price: Tensor) -> Tensor:
        """min_i Q̄_i(s', a') − price · mean_k D_k, a' made by the averages. [S, 1] -> [S, B]."""
        states, steps = batch.next_observations, self.config.flow_steps
        # The noise of the roll-outs: with more of its own, pretraining would not be `df-div`'s.
        rolled = self.roll_out(nets.target.policy, states, noise["x0"])
        made = decisions_of(rolled, states, states)
        velocity = steps_to_batch(rolled.points.diff(dim=0)) * steps
        at = (made.states, made.queries, made.query_times)
        divergence = self.divergence(nets, made, velocity - nets.target.behavior(*at))
        q = self.pessimistic(nets.target.critic(states, rolled.points[-1].clamp(-1, 1)))
        return q - price * batch_to_steps(divergence, steps).mean(0)


class BestTargetConfig(DecisionFlowConfig):
    """The best of N as a target."""

    candidates: Several = 16  # N, samples of the behaviour flow in a state
    best_weight: Weight = 1.0  # of the squared distance from the best ones' velocity, as ρ is of D


class BestTarget(DivergenceDecisionFlow):
    """Flow matching to the best by Q of N samples of the behaviour flow, beside the gradient.

    L_π + w mean |u_θ(s, x_t, t) − (a* − x_0)|², x_t = (1 − t) x_0 + t a*, summed over dimensions:
    less what no u_θ changes, w times the squared distance from the flow of best-of-N.
    """

    Config = BestTargetConfig
    config: BestTargetConfig

    def flow_policy_iteration(
        self, nets: Networks, batch: Batch, noise: Noise, data: DataValues, rho: float
    ) -> Loss:
        loss, metrics = super().flow_policy_iteration(nets, batch, noise, data, rho)
        states = self.config.rollout_states
        observations, time = batch.observations[:, :states], noise["time"][:, :states]
        best = self.best_of_behavior(nets, observations, noise["x0"])
        matching_loss = self.action_dim * flow_matching_loss(
            nets.policy, observations, best, noise["x0"][:, :states], time
        )
        return loss + self.config.best_weight * matching_loss, {
            **metrics,
            "policy/matching_loss": matching_loss,
        }

    def best_of_behavior(self, nets: Networks, observations: Tensor, x0: Tensor) -> Tensor:
        """a* in every state. observations [S, B', ·], x0 [S, B, ·], B' <= B -> [S, B', ·]."""
        count, states = self.config.candidates, observations.shape[1]
        # Other states' noise: with more of its own, pretraining would not be `df-div`'s. The
        # state's own is what the matching starts from.
        starts = torch.stack([x0.roll(-i, 1)[:, :states] for i in range(1, count + 1)], 2)
        repeated = observations.repeat_interleave(count, 1)
        rolled = self.roll_out(nets.target.behavior, repeated, starts.flatten(1, 2))
        actions = rolled.points[-1].clamp(-1, 1)
        return best_of(actions, self.action_value(nets.frozen, repeated, actions), count)
