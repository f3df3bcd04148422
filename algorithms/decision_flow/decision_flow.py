"""Decision Flow Policy Optimization: DF-dir and DF-div.

Paper: Hu et al., Decision Flow Policy Optimization, arXiv:2505.20350.
Code: none at hand, nor the paper's hyperparameters; this follows a structured summary of it.

The Flow MDP. Generating one action takes T decisions. At flow time t_k = k/T the flow state is
[s, x_k], the flow action is the velocity u_θ(s, x_k, t_k), and the transition is one ODE step
x_{k+1} = x_k + u_θ/T, from noise x_0 ~ N(0, I) to the action x_T. γ_f = 1. The last flow reward
is the value of the action.

    A(s, a) = (min_i Q_i(s, clip a) − V(s)) / κ,  κ = mean |min_i Q_i − V| on the data
    D_k     = |u_θ(s, x_k, t_k) − u_v(s, x_k, t_k)|²          (summed over action dimensions)

Pretraining fits the behaviour flow u_v by flow matching and Q, V by IQL; all three are then frozen
(online, Q and V learn on). Improvement starts u_θ at u_v and repeats, on roll-outs x_0 … x_T made
without gradients:

    flow critic   L_C = mean_k (C(s, x_k, t_k) − y_k)²
        DF-dir    y_k = A(s, x_T)                             (final action's value)
        DF-div    y_k = A(s, x_T) − (ρ/T) Σ_{j ≥ k} D_j       (Monte-Carlo V^χ, Eq. 21)
    flow policy   L_π = mean_k [ −⟨u_θ, g_k⟩ + ρ D_k ],  g_k = ∇_x C(s, x, t_{k+1}) at the point
                  reached, x = x_k + u_θ/T; after the last step C is the exact A; g, x_k fixed

The flow critic is a function of the point reached, and the velocity enters through the known
ODE step; a critic of (state, velocity) fitted on the policy's own velocities learns nothing
about how value depends on velocity. So g_k is, in DF-div, the gradient in u of
T Q^f = −ρ D_k + T C(s, x_k + u/T, t_{k+1}) but for D. DF-dir's V^f(s, x, û; h) is C(s, x + h û),
û = u/|u|: at small h it is largest, over the unit sphere, along g/|g| (as in Lemma 4.2, with C at
the point reached for Q* at x_k), and g_k is the gradient of T V^f at h = |u|/T, through û and h
together.

Fidelity.
    From the paper: the Flow MDP and γ_f = 1; u_v pretrained by flow matching and frozen; Q by IQL,
    before the loop; intermediate reward −D and its Monte-Carlo V^χ (Eq. 21) in DF-div; intermediate
    values aligned with the final action's in DF-dir; the weight ρ on D(u_θ ‖ u_v) (Eq. 14); T = 10.
    Its a_{n-1} in the flow state is an ablation. Its normalised velocity is in `df-dir-unit` and
    `df-dir-angle`; in DF-dir û and h together are the velocity.

The list has the choices of which the paper's is unknown; `ablations.py` holds the others that were
tried, docs/algorithms/ablations.md the suite that tests each.

Deviations:
    - Losses: the last flow reward is A, which is Q less V in units of κ, of each batch anew; with
      the factor T it makes one ρ mean the same on every task and for every T.
    - Losses: ρ/T prices D in DF-div's flow reward, too, where the summary has −D alone.
    - Losses: D is the squared distance summed over dimensions, ρ = 1: its mean over them needed ρ
      from 1 to 30, by task.
    - Losses: DF-dir differentiates through û and h; `df-dir-unit` has g/|g|, `df-dir-angle` takes û
      alone.
    - Update order: the flow critic and the flow policy are stepped together, from the networks
      before the update.
    - Update order: V, too, is fitted before improvement, and Q and V are frozen in it.
    - Targets: acting with, and cloning from, Polyak averages of the flows.
    - Networks: one C is the paper's V^χ and, composed with the ODE step, its V^f and Q^f; the exact
      A follows the last step. In trials a V^f of the velocity, fitted on the policy's own, stayed
      at cloning, a Q^f of it left the data, and a V^f fitted on the data's pairs was between.
    - Initialisation: PyTorch's, U(±1/√fan_in); u_θ starts at u_v.
    - Activation and norm: GELU, and layer norm in every critic.
    - Schedule: the learning rates of flow policy and flow critic decay to 0 along a cosine, the
      others' are constant.
    - Clipping: none of gradients; actions are clipped where Q is asked for their value.
    - Rewards: as they are unless a suite says otherwise.
    - Observations: normalised.
    - Data: an update of the flow policy rolls out 64 of the batch's states.
    - Budget: the suite's, three quarters of it for pretraining.
    - Selection: the last policy.
    - Evaluation: a sample of the flow acts, from noise.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from algorithms.base import Adam, Batch, Loss, Networks, Noise, Phase, Stage
from algorithms.blocks.critics import (
    DataValues,
    advantage_scale,
    data_values,
    iql_critic_loss,
    scaled_advantage,
)
from algorithms.blocks.flow import Rollout, Velocity, velocity_network
from algorithms.blocks.flow_pretraining import FlowPolicyConfig, FlowPretraining
from algorithms.decision_flow.flow_mdp import (
    Decisions,
    batch_to_steps,
    decisions_of,
    flow_returns,
    gradient_metrics,
    steps_to_batch,
    with_gradient,
)
from algorithms.fields import Count, LearningRate, PolyakRate, Share, Weight
from algorithms.networks import MLP


class DecisionFlowConfig(FlowPolicyConfig):
    """Decision Flow's settings; ours unless the paper's symbol is given."""

    rho: Weight = 1.0  # ρ of Eq. 14: price of leaving the behaviour flow
    online_rho: Weight = 0.1  # the same while interacting: relaxed
    pretrain_share: Share = 0.75  # of the budget, for u_v, Q and V
    rollout_states: Count = 64  # states a policy update rolls out (T targets each)
    policy_learning_rate: LearningRate = 1e-3  # u_θ; decays to 0 along a cosine
    flow_critic_learning_rate: LearningRate = 1e-3  # C; decays to 0 along a cosine
    policy_ema: PolyakRate = 2e-3  # Polyak rate of the u_θ that acts


class DecisionFlow(FlowPretraining[DecisionFlowConfig]):
    """What both variants share: everything but the flow rewards."""

    Config = DecisionFlowConfig
    flow_networks: ClassVar[tuple[str, ...]] = ("policy", "flow_critic")  # what improvement trains

    def create(self) -> None:
        share = self.config.pretrain_share
        self.create_pretraining(share)
        self.create_improvement()
        # Adds to the stages of pretraining.
        self.stages += (Stage((self.improvement_phase(),), 1 - share, {"policy": "behavior"}),)

    def create_improvement(self) -> None:
        """Networks, optimisers and averages of the flow policy and its critic."""
        config, obs, act = self.config, self.obs_dim, self.action_dim
        hidden = config.hidden_dims
        self.networks |= {
            "policy": velocity_network(obs, act, hidden),
            "flow_critic": MLP(obs + act + 1, 1, hidden, activation="gelu", layer_norm=True),
        }
        self.optimizers |= {
            "policy": Adam(config.policy_learning_rate, cosine_decay=True),
            "flow_critic": Adam(config.flow_critic_learning_rate, cosine_decay=True),
        }
        self.targets |= {"policy": config.policy_ema}

    def improvement_phase(self) -> Phase:
        """Q and V stay as they are."""
        return self.phase(self.improvement_loss, self.flow_networks)

    def online_phases(self) -> tuple[Phase, ...]:
        """Improvement at the price `online_rho`, with Q and V learning on; u_v stays."""
        return (self.phase(self.online_loss, (*self.flow_networks, "critic", "value")),)

    def phase(
        self, loss: Callable[[Networks, Batch, Noise], Loss], trains: tuple[str, ...]
    ) -> Phase:
        """A gradient step that moves the averages of what it trains."""
        averaged = tuple(name for name in trains if name in self.targets)
        return Phase(loss, trains, updates_targets=averaged)

    # --- flow policy iteration --------------------------------------------------------------

    def improvement_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        data = data_values(nets.frozen, batch)
        return self.flow_policy_iteration(nets, batch, noise, data, self.config.rho)

    def online_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        return self.joint_loss(nets, batch, noise, self.config.online_rho)

    def joint_loss(self, nets: Networks, batch: Batch, noise: Noise, rho: float) -> Loss:
        """One flow policy iteration, and an update of Q and V by IQL."""
        data = data_values(nets, batch)
        loss, metrics = self.flow_policy_iteration(nets, batch, noise, data, rho)
        critic_loss, critic_metrics, _ = iql_critic_loss(
            nets,
            batch,
            data,
            discount=self.config.discount,
            expectile=self.config.expectile,
            pessimistic=self.pessimistic,
        )
        return loss + critic_loss, metrics | critic_metrics

    def flow_policy_iteration(
        self, nets: Networks, batch: Batch, noise: Noise, data: DataValues, rho: float
    ) -> Loss:
        """The flow critic on the roll-outs, the flow policy on the flow critic."""
        few = batch.map(lambda field: field[:, : self.config.rollout_states])
        scale, price = self.value_scale(data), self.price(data, rho)

        rolled = self.training_roll_out(nets.frozen.policy, few, noise)
        decisions = decisions_of(rolled, few.observations, self.flow_states(few))
        final_value, final_slope = with_gradient(
            lambda actions: scaled_advantage(
                nets, few.observations, actions, scale, self.pessimistic
            ),
            rolled.points[-1],
        )
        flow_values, slopes = with_gradient(
            lambda x: nets.flow_critic(decisions.flow_states, x, decisions.times), decisions.points
        )
        # The decision at x_k reaches x_{k+1}, where the next one stands; the last reaches x_T.
        gradient = torch.cat([slopes[:, few.rewards.shape[1] :], final_slope], 1)

        at = (decisions.states, decisions.queries, decisions.query_times)
        velocity = nets.policy(*at)
        divergence = self.divergence(nets, decisions, velocity - nets.target.behavior(*at))
        targets = self.flow_targets(nets, decisions, divergence.detach(), final_value, price)
        flow_critic_loss = self.decision_mean((flow_values - targets).square(), noise)
        gain = (velocity * self.ascent(gradient, velocity).detach()).sum(-1)
        policy_loss = self.decision_mean(-gain + price * divergence, noise)
        return policy_loss + flow_critic_loss, {
            "flow_critic/loss": flow_critic_loss,
            "policy/divergence": self.decision_mean(divergence, noise),
            "policy/final_advantage": final_value.mean(-1),
            "critic/advantage_scale": scale,
            **gradient_metrics(gradient, velocity, self.config.flow_steps),
        }

    @abstractmethod
    def flow_rewards(self, divergence: Tensor, price: Tensor) -> Tensor:
        """r_k of every decision, before the final value. [T, S, B], [S, 1] -> [T, S, B]."""

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        return self.roll_out(nets.target.policy, observations, noise["x0"]).points[-1]

    # --- the choices that ablations.py makes otherwise ----------------------------------------

    def value_scale(self, data: DataValues) -> Tensor:
        """κ. -> [S]."""
        return advantage_scale(data, self.pessimistic)

    def price(self, data: DataValues, rho: float) -> Tensor:
        """ρ of every seed. -> [S, 1]."""
        return torch.full_like(data.value[:, :1], rho)

    def training_roll_out(self, policy: Velocity, batch: Batch, noise: Noise) -> Rollout:
        """The roll-outs that an update learns from, one in every state of the batch."""
        x0 = noise["x0"][:, : batch.rewards.shape[1]]
        return self.roll_out(policy, batch.observations, x0)

    def decision_mean(self, values: Tensor, noise: Noise) -> Tensor:
        """The mean over an update's decisions. [S, T * B] -> [S]."""
        return values.mean(-1)

    def flow_states(self, batch: Batch) -> Tensor:
        """What the flow critic sees of the state. -> [S, B, ·]."""
        return batch.observations

    def divergence(self, nets: Networks, decisions: Decisions, difference: Tensor) -> Tensor:
        """D_k of u_θ − u_v. [S, T * B, action_dim] -> [S, T * B]."""
        return difference.square().sum(-1)

    def flow_targets(
        self,
        nets: Networks,
        decisions: Decisions,
        divergence: Tensor,
        final_value: Tensor,
        price: Tensor,
    ) -> Tensor:
        """y_k by Monte-Carlo. [S, T * B], final_value [S, B], price [S, 1] -> [S, T * B]."""
        rewards = self.flow_rewards(batch_to_steps(divergence, self.config.flow_steps), price)
        return steps_to_batch(flow_returns(rewards, final_value))

    def ascent(self, gradient: Tensor, velocity: Tensor) -> Tensor:
        """Where the velocity is to turn, given the flow value's gradient. [S, T * B, ·] each."""
        return gradient


class DirectionDecisionFlow(DecisionFlow):
    """DF-dir: every intermediate flow value is aligned with the final action's value."""

    def flow_rewards(self, divergence: Tensor, price: Tensor) -> Tensor:
        return torch.zeros_like(divergence)


class DivergenceDecisionFlow(DecisionFlow):
    """DF-div: intermediate flow rewards −D make the flow value pay for what is still to come."""

    def flow_rewards(self, divergence: Tensor, price: Tensor) -> Tensor:
        return -price / self.config.flow_steps * divergence
