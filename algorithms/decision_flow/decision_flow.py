"""Decision Flow Policy Optimization: the Flow MDP, DF-dir and DF-div.

Paper: Hu et al., Decision Flow Policy Optimization, arXiv:2505.20350.
Code: none at hand, nor the paper's hyperparameters; this follows a structured summary of it.

The Flow MDP. Generating one action takes T decisions. At flow time t_k = k/T the flow state is
[s, x_k], the flow action is the velocity u_θ(s, x_k, t_k), and the transition is one ODE step
x_{k+1} = x_k + u_θ/T, from noise x_0 ~ N(0, I) to the action x_T. γ_f = 1. The last flow reward
is the value of the action.

    A(s, a) = (min_i Q_i(s, clip a) − V(s)) / κ,  κ = mean |min_i Q_i − V| on the data
    D_k     = |u_θ(s, x_k, t_k) − u_v(s, x_k, t_k)|²          (summed over action dimensions)

Pretraining fits the behaviour flow u_v by flow matching and Q, V by IQL; u_v is then frozen, and so
are Q and V (unless `joint_critic`). Improvement starts u_θ at u_v and repeats, on roll-outs
x_0 … x_T made without gradients:

    flow critic   L_C = mean_k (C(s, x_k, t_k) − y_k)²
        DF-dir    y_k = A(s, x_T)                             (final action's value, Eq. 14)
        DF-div    y_k = A(s, x_T) − (ρ/T) Σ_{j ≥ k} D_j       (Monte-Carlo V^χ, Eq. 21)
        TD(λ)     y_k = r_k + (1 − λ) C̄(s, x_{k+1}, t_{k+1}) + λ y_{k+1};  λ = 1 is the above
    flow policy   L_π = mean_k [ −⟨u_θ, w_k⟩ + ρ D_k ],  g_k = ∇_x C(s, x, t_{k+1}) at the point
                  reached, x = x_k + u_θ/T; after the last step C is the exact A; g, w, x_k fixed
        DF-dir    w_k = g_k, or g_k/|g_k| (`unit`), or the part of g_k across û (`angle`)
        DF-div    w_k = g_k, the gradient of T Q^f = −ρ D_k + T C(s, x_k + u_θ/T, t_{k+1})

The flow critic is a function of the point reached, and the velocity enters through the known
ODE step; a critic of (state, velocity) fitted on the policy's own velocities learns nothing
about how value depends on velocity. So DF-dir's V^f(s, x, û; h) is C(s, x + h û), û = u/|u|: at
small h it is largest, over the unit sphere, along g/|g| (Lemma 4.2). Differentiated through û and
h together it gives `full`; through û alone, `angle`; and `unit` takes the lemma's direction at the
same price ρ however steep the value is.

Fidelity.
    From the paper: the Flow MDP and γ_f = 1; u_v pretrained by flow matching and frozen; Q by IQL;
    the final flow reward Q(s, x_T); intermediate reward −D and its Monte-Carlo V^χ in DF-div;
    intermediate values aligned with the final action's in DF-dir; the normalised velocity; the
    weight ρ on D(u_θ ‖ u_v); T = 10; a_{n-1} in the flow state as an option.

Deviations (the paper's choice is unknown; docs/algorithms/ names the suite that tests each):
    - the flow critic is composed with the ODE step, and the exact A follows the last step: a
      critic of the velocity itself stayed at cloning in every trial;
    - the scale κ and the factor T make one ρ mean the same on every task and for every T;
    - D is summed over dimensions, ρ = 1: its mean over them needed ρ from 1 to 30, by task;
    - DF-dir's default is `full`: in trials `unit` left the support of narrow modes;
    - `kl` is between Gaussian velocities that share the behaviour's residual variance σ²(s, x, t):
      D = |u_θ − u_v|² / 2σ²; sampling stays deterministic;
    - a_{n-1} enters the flow critic only, since a policy that acts has to be Markov here;
    - acting with, and cloning from, Polyak averages of the flows; layer norm in every critic;
    - distillation into a one-step policy (`distill_share`) is ours, for the paper's second open
      question.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from algorithms.base import Adam, Batch, Loss, Networks, Noise, Phase, Stage
from algorithms.blocks.critics import (
    DataValues,
    critic_noise,
    data_values,
    iql_critic_loss,
    scaled_advantage,
    value_scale,
)
from algorithms.blocks.flow import path_point, roll_out, sample, velocity_network
from algorithms.blocks.flow_pretraining import FlowPolicyConfig, FlowPretraining
from algorithms.decision_flow.flow_mdp import (
    Decisions,
    batch_to_steps,
    decisions_of,
    flow_returns,
    gradient_metrics,
    steps_to_batch,
    unit,
    with_gradient,
)
from algorithms.fields import Count, Fraction, LearningRate, PolyakRate, Share, ShareOrNone, Weight
from algorithms.networks import MLP


class DecisionFlowConfig(FlowPolicyConfig):
    """Decision Flow's settings; ours unless the paper's symbol is given."""

    rho: Weight = 1.0  # ρ of Eq. 14: price of leaving the behaviour flow
    online_rho: Weight = 0.1  # the same while interacting: relaxed
    rho_rule: Literal["constant", "critic-noise"] = "constant"  # the latter: ρ (1 + 2 δ)
    divergence: Literal["l2", "kl"] = "l2"  # D of the velocities
    divergence_reduction: Literal["sum", "mean"] = "sum"  # over action dimensions
    value_scale: Literal["advantage", "q", "none"] = "advantage"  # κ: mean |Q - V|, mean |Q|, 1
    td_lambda: Fraction = 1.0  # flow critic's target; 1 Monte-Carlo, 0 TD(0)
    previous_action: bool = False  # a_{n-1} in the flow critic's state
    joint_critic: bool = False  # Q and V go on learning while the flow policy does
    pretrain_share: Share = 0.75  # of the budget, for u_v, Q and V
    distill_share: ShareOrNone = 0.0  # of the budget, for a one-step policy
    rollout_states: Count = 64  # states a policy update rolls out (T targets each)
    policy_learning_rate: LearningRate = 1e-3  # u_θ; decays to 0 along a cosine
    flow_critic_learning_rate: LearningRate = 1e-3  # C; decays to 0 along a cosine
    policy_ema: PolyakRate = 2e-3  # Polyak rate of the u_θ that acts


class DecisionFlow(FlowPretraining[DecisionFlowConfig]):
    """What both variants share: everything but the flow rewards and the ascent direction."""

    Config = DecisionFlowConfig

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.create_pretraining(config.pretrain_share)
        memory = act if config.previous_action else 0
        velocity = velocity_network(obs, act, config.hidden_dims)
        self.networks |= {
            "policy": velocity,
            "flow_critic": MLP(
                obs + memory + act + 1, 1, config.hidden_dims, activation="gelu", layer_norm=True
            ),
        }
        self.optimizers |= {
            "policy": Adam(config.policy_learning_rate, cosine_decay=True),
            "flow_critic": Adam(config.flow_critic_learning_rate, cosine_decay=True),
        }
        self.targets |= {"policy": config.policy_ema}
        if config.td_lambda < 1:  # Monte-Carlo returns ask no averaged critic
            self.targets |= {"flow_critic": config.tau}
        trains = ["policy", "flow_critic"]
        if config.divergence == "kl":
            self.networks["spread"] = velocity
            self.optimizers["spread"] = Adam(config.flow_critic_learning_rate, cosine_decay=True)
            trains.append("spread")
        if config.joint_critic:
            trains += ["critic", "value"]
        averaged = tuple(name for name in trains if name in self.targets)
        improve = Phase(self.improvement_loss, tuple(trains), updates_targets=averaged)
        share = 1 - config.pretrain_share - config.distill_share
        # Adds to the stages of pretraining.
        self.stages += (Stage((improve,), share, {"policy": "behavior"}),)
        if config.distill_share:
            self.networks["jump"] = velocity
            self.optimizers["jump"] = Adam(config.policy_learning_rate, cosine_decay=True)
            self.targets["jump"] = config.policy_ema
            distill = Phase(self.distillation_loss, ("jump",), updates_targets=("jump",))
            self.stages += (Stage((distill,), config.distill_share, act=self.act_in_one_step),)

    def online_phases(self) -> tuple[Phase, ...]:
        """Improvement at the price `online_rho`, with Q and V learning on; u_v stays."""
        spread = ("spread",) if self.config.divergence == "kl" else ()
        trains = ("policy", "flow_critic", "critic", "value", *spread)
        averaged = tuple(name for name in trains if name in self.targets)
        loss = partial(self.improvement_loss, online=True)
        return (Phase(loss, trains, updates_targets=averaged),)

    @abstractmethod
    def flow_rewards(self, divergence: Tensor, rho: Tensor) -> Tensor:
        """r_k of every decision, before the final value. [T, S, B], [S, 1] -> [T, S, B]."""

    @abstractmethod
    def ascent(self, gradient: Tensor, velocity: Tensor) -> Tensor:
        """w_k, where the velocity is to turn, from the flow value's gradient. [S, B, ·] each."""

    # --- flow policy iteration --------------------------------------------------------------

    def improvement_loss(
        self, nets: Networks, batch: Batch, noise: Noise, *, online: bool = False
    ) -> Loss:
        """One flow policy iteration: flow critic on the roll-outs, flow policy on the critic."""
        config = self.config
        few = Batch(*(x[:, : config.rollout_states] for x in batch))
        x0 = noise["x0"][:, : config.rollout_states]
        data = data_values(nets, batch)
        scale = value_scale(data, config.value_scale)
        rho = self.rho(data, online=online)

        rolled = roll_out(
            nets.frozen.policy, few.observations, x0, config.flow_steps, config.solver
        )
        decisions = decisions_of(few, rolled, previous_action=config.previous_action)
        final_value, final_slope = with_gradient(
            lambda actions: scaled_advantage(nets, few.observations, actions, scale),
            rolled.points[-1],
        )
        flow_values, slopes = with_gradient(
            lambda x: nets.flow_critic(decisions.flow_states, x, decisions.times), decisions.points
        )
        # The decision at x_k reaches x_{k+1}, where the next one stands; the last reaches x_T.
        states = few.rewards.shape[1]
        gradient = torch.cat([slopes[:, states:], final_slope], 1)

        velocity = nets.policy(decisions.states, decisions.queries, decisions.query_times)
        divergence = self.divergence(nets, decisions, velocity)  # [S, T * B]
        targets = self.flow_targets(nets, decisions, divergence.detach(), final_value, rho)
        flow_critic_loss = (flow_values - targets).square().mean(-1)
        gain = (velocity * self.ascent(gradient, velocity).detach()).sum(-1)
        policy_loss = (-gain + rho * divergence).mean(-1)
        metrics = {
            "flow_critic/loss": flow_critic_loss,
            "policy/divergence": divergence.mean(-1),
            "policy/final_advantage": final_value.mean(-1),
            "critic/advantage_scale": scale,
            **gradient_metrics(gradient, velocity, config.flow_steps),
        }
        loss = policy_loss + flow_critic_loss
        if config.divergence == "kl":
            loss = loss + self.spread_loss(nets, batch, noise)
        if config.joint_critic or online:
            critic_loss, critic_metrics, _ = iql_critic_loss(
                nets, batch, data, discount=config.discount, expectile=config.expectile
            )
            loss, metrics = loss + critic_loss, metrics | critic_metrics
        return loss, metrics

    def rho(self, data: DataValues, *, online: bool = False) -> Tensor:
        """The price of divergence. -> [S, 1]."""
        constant = self.config.online_rho if online else self.config.rho
        rho = torch.full_like(data.value[:, :1], constant)
        if self.config.rho_rule == "critic-noise":
            rho = rho * (1 + 2 * critic_noise(data)).unsqueeze(-1)
        return rho

    def divergence(self, nets: Networks, decisions: Decisions, velocity: Tensor) -> Tensor:
        """D of the flow policy's velocities from the behaviour flow's. -> [S, T * B]."""
        at = (decisions.states, decisions.queries, decisions.query_times)
        squared = (velocity - nets.target.behavior(*at)).square()
        if self.config.divergence == "kl":
            squared = squared * torch.exp(-nets.frozen.spread(*at)) / 2
        summed = self.config.divergence_reduction == "sum"
        divergence: Tensor = squared.sum(-1) if summed else squared.mean(-1)
        return divergence

    def spread_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Tensor:
        """Gaussian likelihood of flow matching's residuals: fits log σ²(s, x, t). -> [S]."""
        x, rate = path_point(self.config.path, noise["x0"], batch.actions, noise["time"])
        residual = rate - nets.target.behavior(batch.observations, x, noise["time"])
        log_variance = nets.spread(batch.observations, x, noise["time"])
        likelihood = residual.square() * torch.exp(-log_variance) + log_variance
        loss: Tensor = likelihood.mean((1, 2)) / 2
        return loss

    def flow_targets(
        self,
        nets: Networks,
        decisions: Decisions,
        divergence: Tensor,
        final_value: Tensor,
        rho: Tensor,
    ) -> Tensor:
        """y_k, TD(λ) returns. [S, T * B], final_value [S, B], rho [S, 1] -> [S, T * B]."""
        steps, trace = self.config.flow_steps, self.config.td_lambda
        rewards = self.flow_rewards(batch_to_steps(divergence, steps), rho)
        values = None
        if trace < 1:
            at = (decisions.flow_states, decisions.points, decisions.times)
            values = batch_to_steps(nets.target.flow_critic(*at), steps)
        return steps_to_batch(flow_returns(rewards, final_value, values, trace))

    # --- one step ---------------------------------------------------------------------------

    def distillation_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Consistency: from any point of a roll-out, jump to its end (Song et al. 2303.01469).

        The teacher's own points take the place of self-consistency, which needs no extra target.
        """
        config = self.config
        few = Batch(*(x[:, : config.rollout_states] for x in batch))
        rolled = roll_out(
            nets.target.policy,
            few.observations,
            noise["x0"][:, : config.rollout_states],
            config.flow_steps,
            config.solver,
        )
        decisions = decisions_of(few, rolled, previous_action=config.previous_action)
        ends = rolled.points[-1].repeat(1, config.flow_steps, 1)
        jumps = jump(nets, decisions.states, decisions.points, decisions.times)
        loss = (jumps - ends).square().mean((1, 2))
        return loss, {"jump/loss": loss}

    # --- acting -----------------------------------------------------------------------------

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        config = self.config
        return sample(
            nets.target.policy, observations, noise["x0"], config.flow_steps, config.solver
        )

    def act_in_one_step(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        """The distilled policy's action: one call, whatever T was."""
        x0 = noise["x0"]
        return jump(nets.target, observations, x0, torch.zeros_like(x0[..., :1]))


class DirectionConfig(DecisionFlowConfig):
    """DF-dir's settings."""

    direction: Literal["full", "unit", "angle"] = "full"  # w_k: g; g/|g|; g less its part along û


class DirectionDecisionFlow(DecisionFlow):
    """DF-dir: every intermediate flow value is aligned with the final action's value."""

    Config = DirectionConfig
    config: DirectionConfig

    def flow_rewards(self, divergence: Tensor, rho: Tensor) -> Tensor:
        return torch.zeros_like(divergence)

    def ascent(self, gradient: Tensor, velocity: Tensor) -> Tensor:
        if self.config.direction == "unit":
            return unit(gradient)
        if self.config.direction == "full":
            return gradient
        # Differentiating T C(s, x_k + h û) through û alone leaves what is orthogonal to û.
        direction = unit(velocity)
        return gradient - direction * (direction * gradient).sum(-1, keepdim=True)


class DivergenceDecisionFlow(DecisionFlow):
    """DF-div: intermediate flow rewards −D make the flow value pay for what is still to come."""

    def flow_rewards(self, divergence: Tensor, rho: Tensor) -> Tensor:
        return -rho / self.config.flow_steps * divergence

    def ascent(self, gradient: Tensor, velocity: Tensor) -> Tensor:
        return gradient


def jump(nets: Networks, observations: Tensor, x: Tensor, time: Tensor) -> Tensor:
    """The flow's end as the one-step policy sees it from x at a time. [S, B, ·] -> [S, B, ·]."""
    end: Tensor = x + (1 - time) * nets.jump(observations, x, time)
    return end
