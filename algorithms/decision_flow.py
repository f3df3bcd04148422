"""Decision Flow Policy Optimization: the Flow MDP, DF-dir and DF-div.

Paper: Hu et al., Decision Flow Policy Optimization, arXiv:2505.20350.
Code: none at hand, nor the paper's hyperparameters; this follows a structured summary of it.

The Flow MDP. Generating one action takes T decisions. At flow time t_k = k/T the flow state is
[s, x_k], the flow action is the velocity u_θ(s, x_k, t_k), and the transition is one Euler step
x_{k+1} = x_k + u_θ/T, from noise x_0 ~ N(0, I) to the action x_T. γ_f = 1. The last flow reward
is the value of the action.

    A(s, a) = (min_i Q_i(s, clip a) − V(s)) / κ,  κ = mean |min_i Q_i − V| on the data
    D_k     = |u_θ(s, x_k, t_k) − u_v(s, x_k, t_k)|²          (summed over action dimensions)

Stage 1 fits the behaviour flow u_v by flow matching and Q, V by IQL; both are then frozen.
Stage 2 starts u_θ at u_v and repeats, on roll-outs x_0 … x_T made without gradients:

    flow critic   L_C = mean_k (C(s, x_k, t_k) − y_k)²
        DF-dir    y_k = A(s, x_T)                             (final action's value, Eq. 14)
        DF-div    y_k = A(s, x_T) − (ρ/T) Σ_{j ≥ k} D_j       (Monte-Carlo V^χ, Eq. 21)
    flow policy   L_π = mean_k [ −G_k + ρ D_k ], x_k fixed, C after the last step being the exact A
        DF-dir    G_k = ⟨u_θ, g_k/|g_k|⟩,  g_k = ∇_x C(s, x, t_{k+1}) at x = x_k + u_θ/T, fixed
        DF-div    G_k = T C(s, x_k + u_θ/T, t_{k+1})          (Q^f = −(ρ/T) D + C, times T)

The flow critic is a function of the point reached, and the velocity enters through the known
Euler step; a critic of (state, velocity) fitted on the policy's own velocities learns nothing
about how value depends on velocity. So DF-dir's V^f(s, x, û; h) is C(s, x + h û), û = u/|u|: at
small h it is largest, over the unit sphere, along g/|g| (Lemma 4.2), which is where DF-dir turns
the velocity, at the same price ρ however steep the value is. DF-div climbs the value itself.

Deviations (decided here; the paper's choice is unknown):
    - the composition of the flow critic with the Euler step, and the exact A after the last step;
    - the scale κ, the factor T, D summed over dimensions, and one ρ = 0.3 for every task;
    - DF-dir follows the direction g/|g| instead of differentiating through û;
    - acting with, and cloning from, Polyak averages of the flows; layer norm in every critic.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from pydantic import Field
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
from algorithms.critics import advantage_scale, iql_critic_loss, scaled_advantage
from algorithms.flow import euler_path, euler_sample, flow_matching_loss, velocity_network
from algorithms.networks import MLP

ValueAfter = Callable[[Tensor], Tensor]


class DecisionFlowConfig(Config):
    """Decision Flow's settings; ours unless the paper's symbol is given."""

    flow_steps: int = Field(10, ge=1)  # T; the paper finds 10 often enough
    rho: float = Field(0.3, ge=0)  # ρ of Eq. 14: price of leaving the behaviour flow
    pretrain_share: float = Field(0.75, gt=0, lt=1)  # of the budget, for u_v, Q and V
    rollout_states: int = Field(64, ge=1)  # states a policy update rolls out (T targets each)
    expectile: float = Field(0.7, gt=0, lt=1)  # IQL's τ
    tau: float = 0.005  # Polyak rate of the target critic
    pretrain_learning_rate: float = 1e-3  # u_v, Q and V
    policy_learning_rate: float = 3e-4  # u_θ; decays to 0 along a cosine
    flow_critic_learning_rate: float = 1e-3  # C; decays to 0 along a cosine
    behavior_ema: float = 1e-3  # Polyak rate of the u_v that is cloned from
    policy_ema: float = 2e-3  # Polyak rate of the u_θ that acts


class DecisionFlow(Algorithm[DecisionFlowConfig]):
    """What both variants share: everything but the flow critic's target."""

    Config = DecisionFlowConfig

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        hidden = config.hidden_dims
        flow = velocity_network(obs, act, hidden)
        self.networks = {
            "behavior": flow,
            "policy": flow,
            "critic": MLP(obs + act, 1, hidden, 2, activation="gelu", layer_norm=True),
            "value": MLP(obs, 1, hidden, activation="gelu", layer_norm=True),
            "flow_critic": MLP(obs + act + 1, 1, hidden, activation="gelu", layer_norm=True),
        }
        pretrained = ("behavior", "critic", "value")
        learning_rates = dict.fromkeys(pretrained, config.pretrain_learning_rate) | {
            "policy": config.policy_learning_rate,
            "flow_critic": config.flow_critic_learning_rate,
        }
        self.optimizers = {
            name: Adam(rate, cosine_decay=name not in pretrained)
            for name, rate in learning_rates.items()
        }
        self.targets = {
            "behavior": config.behavior_ema,
            "critic": config.tau,
            "policy": config.policy_ema,
        }
        self.noise = {"x0": Normal(act), "time": Uniform(1)}
        self.act_noise = {"x0": Normal(act)}
        pretrain = Phase(self.pretrain_loss, pretrained, updates_targets=("behavior", "critic"))
        improve = Phase(
            self.improvement_loss, ("policy", "flow_critic"), updates_targets=("policy",)
        )
        self.stages = (
            Stage((pretrain,), config.pretrain_share, act=self.act_as_behavior),
            Stage((improve,), 1 - config.pretrain_share, copies={"policy": "behavior"}),
        )

    @abstractmethod
    def flow_values(self, final_value: Tensor, divergence: Tensor) -> Tensor:
        """y_k, the flow critic's targets. [S, B], [T, S, B] -> [T, S, B]."""

    @abstractmethod
    def gain(self, value_after: ValueAfter, points: Tensor, velocity: Tensor) -> Tensor:
        """What the flow policy climbs, a flow decision. [S, B, ·] each -> [S, B].

        `value_after` gives the flow value of the points reached by the decisions.
        """

    def pretrain_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Behaviour flow by flow matching, Q and V by IQL."""
        flow_loss = flow_matching_loss(
            nets.behavior, batch.observations, batch.actions, noise["x0"], noise["time"]
        )
        critic_loss, metrics, _ = iql_critic_loss(
            nets, batch, discount=self.config.discount, expectile=self.config.expectile
        )
        return flow_loss + critic_loss, {**metrics, "behavior/loss": flow_loss}

    def improvement_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """One flow policy iteration: flow critic on the roll-outs, flow policy on the critic."""
        steps, rho = self.config.flow_steps, self.config.rho
        observations = batch.observations[:, : self.config.rollout_states]
        x0 = noise["x0"][:, : self.config.rollout_states]
        scale = advantage_scale(nets, batch)

        path = euler_path(nets.frozen.policy, observations, x0, steps).detach()  # [T + 1, S, B, ·]
        final_value = scaled_advantage(nets, observations, path[-1].clamp(-1, 1), scale)
        # All T flow decisions of a state become one batch of T * B: [S, T * B, ·].
        states, points = observations.repeat(1, steps, 1), _steps_to_batch(path[:-1])
        times = torch.arange(steps, device=x0.device).repeat_interleave(x0.shape[1]) / steps
        times = times.view(1, -1, 1).expand(len(x0), -1, -1)

        velocity = nets.policy(states, points, times)
        behavior_velocity = nets.target.behavior(states, points, times)
        divergence = (velocity - behavior_velocity).square().sum(-1)  # [S, T * B]

        targets = self.flow_values(
            final_value, divergence.detach().unflatten(1, (steps, -1)).movedim(1, 0)
        )
        flow_value = nets.flow_critic(states, points, times)
        flow_critic_loss = (flow_value - _steps_to_batch(targets)).square().mean(-1)

        rolling = (steps - 1) * x0.shape[1]  # decisions before the last

        def value_after(reached: Tensor) -> Tensor:
            next_values = nets.frozen.flow_critic(
                states[:, :rolling], reached[:, :rolling], times[:, :rolling] + 1 / steps
            )
            actions = reached[:, rolling:].clamp(-1, 1)
            last_values = scaled_advantage(nets, observations, actions, scale)
            return torch.cat([next_values, last_values], 1)

        gain = self.gain(value_after, points, velocity)
        policy_loss = (-gain + rho * divergence).mean(-1)
        return policy_loss + flow_critic_loss, {
            "flow_critic/loss": flow_critic_loss,
            "policy/loss": policy_loss,
            "policy/divergence": divergence.mean(-1),
            "policy/final_advantage": final_value.mean(-1),
            "critic/advantage_scale": scale,
        }

    def act_as_behavior(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        """Before there is a flow policy, the behaviour flow acts."""
        return euler_sample(nets.target.behavior, observations, noise["x0"], self.config.flow_steps)

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        return euler_sample(nets.target.policy, observations, noise["x0"], self.config.flow_steps)


class DirectionDecisionFlow(DecisionFlow):
    """DF-dir: every intermediate flow value is aligned with the final action's value."""

    def flow_values(self, final_value: Tensor, divergence: Tensor) -> Tensor:
        return final_value.expand_as(divergence)

    def gain(self, value_after: ValueAfter, points: Tensor, velocity: Tensor) -> Tensor:
        reached = (points + velocity / self.config.flow_steps).detach()
        gradient: Tensor = torch.func.grad(lambda x: value_after(x).sum())(reached)
        direction = gradient / (gradient.norm(dim=-1, keepdim=True) + 1e-8)
        aligned: Tensor = (velocity * direction.detach()).sum(-1)
        return aligned


class DivergenceDecisionFlow(DecisionFlow):
    """DF-div: intermediate flow rewards −D make the flow value pay for what is still to come."""

    def flow_values(self, final_value: Tensor, divergence: Tensor) -> Tensor:
        penalties_to_go = divergence.flip(0).cumsum(0).flip(0)
        return final_value - self.config.rho / self.config.flow_steps * penalties_to_go

    def gain(self, value_after: ValueAfter, points: Tensor, velocity: Tensor) -> Tensor:
        steps = self.config.flow_steps
        return steps * value_after(points + velocity / steps)


def _steps_to_batch(x: Tensor) -> Tensor:
    """[T, S, B, ...] -> [S, T * B, ...], flow step by flow step."""
    return x.movedim(0, 1).flatten(1, 2)
