"""Decision Flow with one choice made otherwise: what the suites under suites/ablations/ compare.

Paper: Hu et al., Decision Flow Policy Optimization, arXiv:2505.20350.
Code: none at hand; each class changes one thing in `algorithms/decision_flow/decision_flow.py`.

None that has been run beats the default on all of its tasks; docs/algorithms/ablations.md has them
with their suites. Symbols are those of `decision_flow.py`.

What follows comes on top of the list in `decision_flow.py`; the paper's choice is unknown.

Deviations:
    - Losses: the KL divergence is between Gaussian velocities that share the behaviour's residual
      variance σ²(s, x, t): D = |(u_θ − u_v)/σ|² / 2; sampling stays deterministic.
    - Losses: paths and couplings are ours, for the paper's first open question.
    - Networks: an ensemble of critics with a lower confidence bound is BDPO's (arXiv:2502.04778).
    - Networks: a_{n-1}, the paper's option, enters the flow critic only: a policy that acts has to
      be Markov here.
    - Data: decisions on the noised path of the data's actions are BDPO's too; it takes one step
      from there, here the roll-out goes on to its end.
    - Evaluation: distillation into a one-step policy is ours, for the paper's second open question.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from algorithms.base import Adam, Batch, Loss, Networks, Noise, Phase, Stage, Uniform
from algorithms.blocks.coupling import transport_noise
from algorithms.blocks.critics import (
    DataValues,
    advantage_scale,
    lower_confidence_bound,
    mean_size,
)
from algorithms.blocks.flow import (
    PathName,
    Rollout,
    Velocity,
    flow_matching_loss,
    path_point,
    roll_out,
    velocity_network,
)
from algorithms.decision_flow.decision_flow import (
    DecisionFlow,
    DecisionFlowConfig,
    DirectionDecisionFlow,
    DivergenceDecisionFlow,
)
from algorithms.decision_flow.flow_mdp import (
    Decisions,
    batch_to_steps,
    decisions_of,
    steps_to_batch,
    unit,
)
from algorithms.fields import Several, Share, Weight
from algorithms.networks import MLP

# --- the direction in which DF-dir turns a velocity ---------------------------------------------


class UnitDirection(DirectionDecisionFlow):
    """g/|g|, a direction alone as in the lemma: the same price ρ however steep the value is."""

    def ascent(self, gradient: Tensor, velocity: Tensor) -> Tensor:
        return unit(gradient)


class AngleDirection(DirectionDecisionFlow):
    """V^f differentiated through û alone, which leaves the part of g across û."""

    def ascent(self, gradient: Tensor, velocity: Tensor) -> Tensor:
        direction = unit(velocity)
        return gradient - direction * (direction * gradient).sum(-1, keepdim=True)


# --- the divergence and its price ---------------------------------------------------------------


class MeanDivergence(DivergenceDecisionFlow):
    """D averaged over action dimensions."""

    def divergence(self, nets: Networks, decisions: Decisions, difference: Tensor) -> Tensor:
        return difference.square().mean(-1)


class KLDivergence(DivergenceDecisionFlow):
    """D of Gaussian velocities, whose variance `spread` learns: dear where u_v is certain."""

    flow_networks = (*DecisionFlow.flow_networks, "spread")

    def create_improvement(self) -> None:
        super().create_improvement()
        config = self.config
        self.networks["spread"] = velocity_network(
            self.obs_dim, self.action_dim, config.hidden_dims
        )
        self.optimizers["spread"] = Adam(config.flow_critic_learning_rate, cosine_decay=True)

    def flow_policy_iteration(
        self, nets: Networks, batch: Batch, noise: Noise, data: DataValues, rho: float
    ) -> Loss:
        loss, metrics = super().flow_policy_iteration(nets, batch, noise, data, rho)
        return loss + self.spread_loss(nets, batch, noise), metrics

    def divergence(self, nets: Networks, decisions: Decisions, difference: Tensor) -> Tensor:
        log_variance = nets.frozen.spread(
            decisions.states, decisions.queries, decisions.query_times
        )
        return (difference.square() * torch.exp(-log_variance) / 2).sum(-1)

    def spread_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Tensor:
        """Gaussian likelihood of flow matching's residuals: fits log σ²(s, x, t). -> [S]."""
        x, rate = path_point("linear", noise["x0"], batch.actions, noise["time"])
        residual = rate - nets.target.behavior(batch.observations, x, noise["time"])
        log_variance = nets.spread(batch.observations, x, noise["time"])
        likelihood = residual.square() * torch.exp(-log_variance) + log_variance
        loss: Tensor = likelihood.mean((1, 2)) / 2
        return loss


class CriticNoisePrice(DivergenceDecisionFlow):
    """ρ (1 + 2 δ): dearer where the twin critics disagree."""

    def price(self, data: DataValues, rho: float) -> Tensor:
        return super().price(data, rho) * (1 + 2 * critic_noise(data)).unsqueeze(-1)


def critic_noise(data: DataValues) -> Tensor:
    """δ = E sd_i Q_i(s, a) / E |min_i Q_i − V| on the data's actions, unbiased sd. -> [S]."""
    disagreement: Tensor = data.q.detach().std(1).mean(-1)
    return disagreement / advantage_scale(data)


# --- the value and what the flow critic learns of it --------------------------------------------


class ValueScaleConfig(DecisionFlowConfig):
    """The scale of the value."""

    value_scale: Literal["q", "none"] = "q"  # κ: mean |Q| on the data, or 1


class ValueScale(DivergenceDecisionFlow):
    """A in other units than the data's own mean |A|."""

    Config = ValueScaleConfig
    config: ValueScaleConfig

    def value_scale(self, data: DataValues) -> Tensor:
        q = self.pessimistic(data.q.detach())
        return mean_size(q if self.config.value_scale == "q" else torch.ones_like(q))


class TemporalDifferenceConfig(DecisionFlowConfig):
    """The flow critic's target."""

    td_lambda: float = Field(0.9, ge=0, lt=1)  # λ; 0 is TD(0), and 1 would be Monte-Carlo


class TemporalDifference(DivergenceDecisionFlow):
    """y_k = r_k + (1 − λ) C̄(s, x_{k+1}, t_{k+1}) + λ y_{k+1}, C̄ an average of C."""

    Config = TemporalDifferenceConfig
    config: TemporalDifferenceConfig

    def create_improvement(self) -> None:
        super().create_improvement()
        self.targets["flow_critic"] = self.config.tau

    def flow_targets(
        self,
        nets: Networks,
        decisions: Decisions,
        divergence: Tensor,
        final_value: Tensor,
        price: Tensor,
    ) -> Tensor:
        trace, steps = self.config.td_lambda, self.config.flow_steps
        rewards = self.flow_rewards(batch_to_steps(divergence, steps), price)
        averaged = nets.target.flow_critic(decisions.flow_states, decisions.points, decisions.times)
        values = batch_to_steps(averaged, steps)
        to_go, returns = final_value, []
        for k in reversed(range(steps)):
            if k < steps - 1:
                to_go = (1 - trace) * values[k + 1] + trace * to_go
            to_go = rewards[k] + to_go
            returns.append(to_go)
        return steps_to_batch(torch.stack(returns[::-1]))


class PreviousAction(DivergenceDecisionFlow):
    """a_{n-1} in the flow critic's state."""

    def create_improvement(self) -> None:
        super().create_improvement()
        flow_critic = self.networks["flow_critic"]
        assert isinstance(flow_critic, MLP)
        self.networks["flow_critic"] = replace(
            flow_critic, input_dim=flow_critic.input_dim + self.action_dim
        )

    def flow_states(self, batch: Batch) -> Tensor:
        return torch.cat([batch.observations, batch.previous_actions], -1)


class JointCritic(DivergenceDecisionFlow):
    """Q and V go on learning while the flow policy does."""

    def improvement_phase(self) -> Phase:
        return self.phase(self.improvement_loss, (*self.flow_networks, "critic", "value"))

    def improvement_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        return self.joint_loss(nets, batch, noise, self.config.rho)


class EnsembleConfig(DecisionFlowConfig):
    """The ensemble of critics."""

    critics: Several = 10  # of Q
    pessimism: Weight = 1.0  # ρ of BDPO: standard deviations below the ensemble's mean


class Ensemble(DivergenceDecisionFlow):
    """Q is an ensemble, and its lower confidence bound takes the place of the smaller twin."""

    Config = EnsembleConfig
    Pretraining = EnsembleConfig  # decides V and the critics: shared between equal configs alone
    config: EnsembleConfig

    def create_pretraining(self, share: float) -> None:
        super().create_pretraining(share)
        critic = self.networks["critic"]
        assert isinstance(critic, MLP)
        self.networks["critic"] = replace(critic, ensemble=self.config.critics)

    def pessimistic(self, q: Tensor) -> Tensor:
        return lower_confidence_bound(q, self.config.pessimism)

    def action_value(self, nets: Networks, observations: Tensor, actions: Tensor) -> Tensor:
        return self.pessimistic(nets.critic(observations, actions))


# --- the states that flow decisions are made in -------------------------------------------------


class NoisedStarts(DivergenceDecisionFlow):
    """Half of an update's roll-outs start at x_k = (1 − k/T) x_0 + (k/T) a, a the data's action.

    k is uniform over 0 … T − 1. Before it a roll-out stands still, in decisions that count neither
    in the losses nor in `policy/divergence`; the other metrics are over all T.
    """

    def training_roll_out(self, policy: Velocity, batch: Batch, noise: Noise) -> Rollout:
        states = batch.rewards.shape[1]
        start = (self.start_steps(noise, states) / self.config.flow_steps).unsqueeze(-1)
        x, _ = path_point("linear", noise["x0"][:, :states], batch.actions, start)
        # Half a step early, as times of steps are rounded.
        moves_from = start - 0.5 / self.config.flow_steps

        def velocity(observations: Tensor, x: Tensor, time: Tensor) -> Tensor:
            return torch.where(time > moves_from, policy(observations, x, time), 0.0)

        return self.roll_out(velocity, batch.observations, x)

    def decision_mean(self, values: Tensor, noise: Noise) -> Tensor:
        by_step = batch_to_steps(values, self.config.flow_steps)  # [T, S, B]
        start = self.start_steps(noise, by_step.shape[-1])
        step = torch.arange(len(by_step), device=values.device).view(-1, 1, 1)
        counts = steps_to_batch(step >= start)
        return (values * counts).sum(-1) / counts.sum(-1)

    def start_steps(self, noise: Noise, states: int) -> Tensor:
        """k of every roll-out, 0 for all of the second half of the states. -> [S, B]."""
        step = torch.floor(noise["time"][:, :states, 0] * self.config.flow_steps)
        noised = torch.arange(states, device=step.device) < states // 2
        return step * noised


# --- the flow and its ODE -----------------------------------------------------------------------


class Midpoint(DivergenceDecisionFlow):
    """Every flow by the midpoint method, which asks for two velocities a step."""

    def roll_out(self, velocity: Velocity, observations: Tensor, x0: Tensor) -> Rollout:
        return roll_out(velocity, observations, x0, self.config.flow_steps, "midpoint")


class PathConfig(DecisionFlowConfig):
    """The path that the behaviour flow is matched along."""

    path: PathName = "cosine"  # probability path from noise to action


class Path(DivergenceDecisionFlow):
    """Another probability path than the straight line."""

    Config = PathConfig
    Pretraining = PathConfig  # decides its behaviour flow: shared between equal configs alone
    config: PathConfig

    def behavior_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Tensor:
        return flow_matching_loss(
            nets.behavior,
            batch.observations,
            batch.actions,
            noise["x0"],
            noise["time"],
            self.config.path,
        )


class TransportConfig(PathConfig):
    """The coupling of noise and data, and the path between them."""

    path: PathName = "linear"  # probability path from noise to action
    transport_weight: Weight = 1.0  # of states in the coupling's cost


class Transport(Path):
    """Noise and data of a batch coupled by optimal transport before they are matched."""

    Config = TransportConfig
    Pretraining = TransportConfig
    config: TransportConfig

    def create_pretraining(self, share: float) -> None:
        super().create_pretraining(share)
        self.noise = {**self.noise, "coupling": Uniform(1)}

    def behavior_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Tensor:
        x0 = transport_noise(
            batch.observations,
            batch.actions,
            noise["x0"],
            noise["coupling"],
            self.config.transport_weight,
        )
        return super().behavior_loss(nets, batch, {**noise, "x0": x0})


class DistilledConfig(DecisionFlowConfig):
    """The one-step policy."""

    distill_share: Share = 0.15  # of the budget, after improvement


class Distilled(DivergenceDecisionFlow):
    """The flow policy is distilled into one that acts in one step."""

    Config = DistilledConfig
    config: DistilledConfig

    def create(self) -> None:
        super().create()
        config = self.config
        self.networks["jump"] = velocity_network(self.obs_dim, self.action_dim, config.hidden_dims)
        self.optimizers["jump"] = Adam(config.policy_learning_rate, cosine_decay=True)
        self.targets["jump"] = config.policy_ema
        share, (*pretraining, improve) = config.distill_share, self.stages
        self.stages = (
            *pretraining,
            replace(improve, share=improve.share - share),
            Stage(
                (self.phase(self.distillation_loss, ("jump",)),), share, act=self.act_in_one_step
            ),
        )

    def distillation_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Consistency: from any point of a roll-out, jump to its end (Song et al. 2303.01469).

        The teacher's own points take the place of self-consistency, which needs no extra target.
        """
        states = self.config.rollout_states
        observations, x0 = batch.observations[:, :states], noise["x0"][:, :states]
        rolled = self.roll_out(nets.target.policy, observations, x0)
        decisions = decisions_of(rolled, observations, observations)
        ends = rolled.points[-1].repeat(1, self.config.flow_steps, 1)
        jumps = jump(nets, decisions.states, decisions.points, decisions.times)
        loss = (jumps - ends).square().mean((1, 2))
        return loss, {"jump/loss": loss}

    def act_in_one_step(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        """The distilled policy's action: one call, whatever T was."""
        x0 = noise["x0"]
        return jump(nets.target, observations, x0, torch.zeros_like(x0[..., :1]))


def jump(nets: Networks, observations: Tensor, x: Tensor, time: Tensor) -> Tensor:
    """The flow's end as the one-step policy sees it from x at a time. [S, B, ·] -> [S, B, ·]."""
    end: Tensor = x + (1 - time) * nets.jump(observations, x, time)
    return end
