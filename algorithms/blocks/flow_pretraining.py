"""What value-guided flow methods start from: a behaviour flow u_v, and Q and V by IQL.

Decision Flow, best-of-N and back-propagation through the flow share it, so that equal settings
give them equal critics and equal behaviour flows, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

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
from algorithms.blocks.critics import iql_critic_loss, minimum, monte_carlo_critic_loss
from algorithms.blocks.flow import (
    Rollout,
    Velocity,
    flow_matching_loss,
    roll_out,
    velocity_network,
)
from algorithms.fields import Count, Expectile, LearningRate, PolyakRate, ShareOrNone
from algorithms.networks import MLP


class PretrainingConfig(Config):
    """Everything that decides what pretraining gives after a number of steps."""

    expectile: Expectile = 0.7  # IQL's τ
    tau: PolyakRate = 0.005  # Polyak rate of the target critic
    pretrain_learning_rate: LearningRate = 1e-3  # u_v, Q and V; constant
    behavior_ema: PolyakRate = 1e-3  # Polyak rate of the u_v that is used
    warm_start_share: ShareOrNone = 0.0  # of the budget: Q and V fit returns first


class FlowPolicyConfig(PretrainingConfig):
    """Settings of a flow policy on top of pretraining."""

    flow_steps: Count = 10  # T; Decision Flow's paper finds 10 often enough


F = TypeVar("F", bound=FlowPolicyConfig)


class FlowPretraining(Algorithm[F]):
    """Creates and trains `behavior`, `critic` and `value`; subclasses go on from there."""

    Pretraining = PretrainingConfig

    def create_pretraining(self, share: float) -> None:
        """Networks, optimisers, noise, and the stages of the first `share` of the budget."""
        config, obs, act = self.config, self.obs_dim, self.action_dim
        hidden = config.hidden_dims
        self.networks = {
            "behavior": velocity_network(obs, act, hidden),
            "critic": MLP(obs + act, 1, hidden, 2, activation="gelu", layer_norm=True),
            "value": MLP(obs, 1, hidden, activation="gelu", layer_norm=True),
        }
        trained = tuple(self.networks)
        self.optimizers = dict.fromkeys(trained, Adam(config.pretrain_learning_rate))
        self.targets = {"behavior": config.behavior_ema, "critic": config.tau}
        self.noise = {"x0": Normal(act), "time": Uniform(1)}
        self.act_noise = {"x0": Normal(act)}

        def stage(loss: Callable[[Networks, Batch, Noise], Loss], share: float) -> Stage:
            phase = Phase(loss, trained, updates_targets=("behavior", "critic"))
            return Stage((phase,), share, act=self.act_as_behavior)

        warm = config.warm_start_share
        stages = [stage(self.warm_start_loss, warm)] if warm else []
        self.stages = (*stages, stage(self.pretrain_loss, share - warm))
        self.pretraining_stages = len(self.stages)

    def warm_start_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Behaviour flow by flow matching, Q and V by regression on the data's returns."""
        critic_loss, metrics = monte_carlo_critic_loss(
            nets, batch, self.config.expectile, self.pessimistic
        )
        flow_loss = self.behavior_loss(nets, batch, noise)
        return flow_loss + critic_loss, {**metrics, "behavior/loss": flow_loss}

    def pretrain_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Behaviour flow by flow matching, Q and V by IQL."""
        critic_loss, metrics, _ = iql_critic_loss(
            nets,
            batch,
            discount=self.config.discount,
            expectile=self.config.expectile,
            pessimistic=self.pessimistic,
        )
        flow_loss = self.behavior_loss(nets, batch, noise)
        return flow_loss + critic_loss, {**metrics, "behavior/loss": flow_loss}

    def pessimistic(self, q: Tensor) -> Tensor:
        """What the critics are taken to say: the smaller twin's. [S, E, B] -> [S, B]."""
        return minimum(q)

    def behavior_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Tensor:
        """Flow matching on the data. -> [S]."""
        return flow_matching_loss(
            nets.behavior, batch.observations, batch.actions, noise["x0"], noise["time"]
        )

    def roll_out(self, velocity: Velocity, observations: Tensor, x0: Tensor) -> Rollout:
        """The flow of a velocity from x0 in `flow_steps` Euler steps. x0: [S, B, action_dim]."""
        return roll_out(velocity, observations, x0, self.config.flow_steps)

    def act_as_behavior(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        """A sample of the behaviour flow. [S, E, obs_dim] -> [S, E, action_dim]."""
        return self.roll_out(nets.target.behavior, observations, noise["x0"]).points[-1]
