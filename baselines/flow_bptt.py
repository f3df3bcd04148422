"""Back-propagation through the flow: the flow policy climbs Q through all of its ODE steps.

Paper: the flow counterpart of Diffusion-QL (Wang et al., arXiv:2208.06193), as the baseline FBRAC
of Flow Q-Learning (Park, Li and Levine, arXiv:2502.02538); `fbrac` follows that one in all else.
Code: none: FBRAC is not among the agents of seohongpark/fql at 719d044; the paper's appendix is
followed.

Deviations:
    - Losses: value scale, divergence from the behaviour flow and its price ρ are Decision Flow's,
      so that only the gradient's path differs. FBRAC: a flow-matching loss holds the policy to the
      data, at a weight α.
    - Update order: Q, V and the behaviour flow are Decision Flow's too, by IQL, trained first and
      frozen. FBRAC: the critic learns beside the policy, on the policy's own next actions.
    - Networks: two hidden layers of 256 units unless a suite says otherwise (FBRAC: four of 512).
    - Initialisation: PyTorch's, U(±1/√fan_in); the policy starts at the behaviour flow.
    - Schedule: learning rates of 1e-3, the policy's decaying to 0 along a cosine (FBRAC: 3e-4,
      constant).
    - Rewards: as they are unless a suite says otherwise (FBRAC: 1 is subtracted on AntMaze).
    - Observations: normalised (FBRAC: as they are).
    - Data: a policy update rolls out 64 of the batch's states (FBRAC: all 256).
    - Budget: the suite's, a quarter of it for the policy (FBRAC, D4RL: 5 · 10⁵ updates of all).
    - Evaluation: acts with a Polyak average of the weights (FBRAC: the raw weights).
"""

from __future__ import annotations

from torch import Tensor

from algorithms.base import Adam, Batch, Loss, Networks, Noise, Phase, Stage
from algorithms.blocks.critics import (
    advantage_scale,
    data_values,
    iql_critic_loss,
    scaled_advantage,
)
from algorithms.blocks.flow import velocity_network
from algorithms.blocks.flow_pretraining import FlowPolicyConfig, FlowPretraining
from algorithms.fields import Count, LearningRate, PolyakRate, Share, Weight


class FlowBPTTConfig(FlowPolicyConfig):
    """Settings; the same names as Decision Flow's mean the same."""

    rho: Weight = 1.0  # price of leaving the behaviour flow
    online_rho: Weight = 0.1  # the same while interacting: relaxed
    pretrain_share: Share = 0.75  # of the budget, for u_v, Q and V
    rollout_states: Count = 64  # states a policy update rolls out
    policy_learning_rate: LearningRate = 1e-3  # u_θ; decays to 0 along a cosine
    policy_ema: PolyakRate = 2e-3  # Polyak rate of the u_θ that acts


class FlowBPTT(FlowPretraining[FlowBPTTConfig]):
    """L = mean [ −A(s, x_T) + ρ mean_k |u_θ − u_v|² ], differentiated through x_1 … x_T."""

    Config = FlowBPTTConfig

    def create(self) -> None:
        config = self.config
        self.create_pretraining(config.pretrain_share)
        self.networks["policy"] = velocity_network(
            self.obs_dim, self.action_dim, config.hidden_dims
        )
        self.optimizers["policy"] = Adam(config.policy_learning_rate, cosine_decay=True)
        self.targets["policy"] = config.policy_ema
        improve = Phase(self.improvement_loss, ("policy",), updates_targets=("policy",))
        share = 1 - config.pretrain_share
        # Adds to the stages of pretraining.
        self.stages += (Stage((improve,), share, {"policy": "behavior"}),)

    def online_phases(self) -> tuple[Phase, ...]:
        """Improvement at the price `online_rho`, with Q and V learning on; u_v stays."""
        averaged = ("policy", "critic")
        return (Phase(self.online_loss, (*averaged, "value"), updates_targets=averaged),)

    def online_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        config = self.config
        policy_loss, metrics = self.policy_loss(nets, batch, noise, config.online_rho)
        critic_loss, critic_metrics, _ = iql_critic_loss(
            nets, batch, discount=config.discount, expectile=config.expectile
        )
        return policy_loss + critic_loss, metrics | critic_metrics

    def improvement_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        return self.policy_loss(nets, batch, noise, self.config.rho)

    def policy_loss(self, nets: Networks, batch: Batch, noise: Noise, rho: float) -> Loss:
        """Value and divergence of a few states' roll-outs."""
        config = self.config
        observations = batch.observations[:, : config.rollout_states]
        x0 = noise["x0"][:, : config.rollout_states]
        scale = advantage_scale(data_values(nets.frozen, batch))
        rolled = self.roll_out(nets.policy, observations, x0)
        divergence = sum(
            (nets.policy(observations, x, t) - nets.target.behavior(observations, x, t))
            .square()
            .sum(-1)
            for x, t in zip(rolled.queries, rolled.query_times, strict=True)
        )
        final_value = scaled_advantage(nets, observations, rolled.points[-1], scale)
        divergence = divergence / config.flow_steps
        loss = (-final_value + rho * divergence).mean(-1)
        return loss, {
            "policy/divergence": divergence.mean(-1),
            "policy/final_advantage": final_value.mean(-1),
        }

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        return self.roll_out(nets.target.policy, observations, noise["x0"]).points[-1]
