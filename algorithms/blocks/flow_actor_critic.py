"""Actor-critics whose policy is the flow itself: a twin critic of the actions that it draws.

Methods that differ from Flow Q-Learning (arXiv:2502.02538) in how Q improves the policy alone have
this in common. Shapes: `S` seeds, `B` batch.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal, TypeVar

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
from algorithms.blocks.flow import sample, velocity_network
from algorithms.fields import Count, LearningRate, PolyakRate, Widths
from algorithms.networks import MLP, Network


class FlowActorCriticConfig(Config):
    """What the methods have in common, with FQL's values (Table 5)."""

    hidden_dims: Widths = (512, 512, 512, 512)  # width of every hidden layer
    normalize_observations: bool = False  # the networks see raw observations
    learning_rate: LearningRate = 3e-4  # Adam
    tau: PolyakRate = 0.005  # Polyak rate of the target critic
    flow_steps: Count = 10  # K, Euler steps of the policy
    q_aggregation: Literal["mean", "min"] = "mean"  # of the twins in the backup; min on Adroit


F = TypeVar("F", bound=FlowActorCriticConfig)


class FlowActorCritic(Algorithm[F]):
    """Creates and trains `critic` on the actions of `flow`; subclasses improve `flow`."""

    def create_actor_critic(self, **others: Network) -> None:
        """Both networks and `others`, which all learn in the same steps from one sum of losses."""
        config, obs, act = self.config, self.obs_dim, self.action_dim
        hidden = config.hidden_dims
        self.networks = {
            "critic": MLP(obs + act, 1, hidden, 2, activation="gelu", layer_norm=True),
            "flow": velocity_network(obs, act, hidden),
            **others,
        }
        self.optimizers = {name: Adam(config.learning_rate) for name in self.networks}
        self.targets = {"critic": config.tau}
        normal = Normal(act)
        self.noise = {"next_z": normal, "x0": normal, "time": Uniform(1)}
        self.act_noise = {"z": normal}
        phase = Phase(self.loss, tuple(self.networks), updates_targets=("critic",))
        self.stages = (Stage((phase,)),)

    def loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        critic_loss, critic_metrics = self.critic_loss(nets, batch, noise)
        policy_loss, policy_metrics = self.policy_loss(nets, batch, noise)
        return critic_loss + policy_loss, critic_metrics | policy_metrics

    @abstractmethod
    def policy_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """What improves the flow, and the losses of other networks than the critic."""

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Twins regress on r + γ Q̄(s', a'), a' from the flow."""
        config = self.config
        next_actions = self.actions(nets.frozen, batch.next_observations, noise["next_z"])
        next_qs = nets.target.critic(batch.next_observations, next_actions)
        backup = batch.rewards + config.discount * batch.masks * self.aggregated(next_qs)
        q = nets.critic(batch.observations, batch.actions)
        loss = mean_squared_error(q, backup) / 2  # averaged over the twins, as in FQL's code
        return loss, {"critic/loss": loss, "critic/mean": q.mean((1, 2))}

    def aggregated(self, q: Tensor) -> Tensor:
        """The twins' mean or minimum, as configured. [S, 2, B] -> [S, B]."""
        return q.amin(1) if self.config.q_aggregation == "min" else q.mean(1)

    def actions(self, nets: Networks, observations: Tensor, z: Tensor) -> Tensor:
        """The flow's, from noise z and clipped. [S, B, obs_dim], [S, B, action_dim]."""
        return sample(nets.flow, observations, z, self.config.flow_steps).clamp(-1, 1)

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        return self.actions(nets, observations, noise["z"])


def q_loss(nets: Networks, observations: Tensor, actions: Tensor, *, normalize: bool) -> Tensor:
    """−Q(s, a), the mean of the twins, divided by the batch's mean |Q| if so asked.

    [S, B, obs_dim], [S, B, action_dim] -> [S].
    """
    q: Tensor = nets.frozen.critic(observations, actions).mean(1)
    loss = -q.mean(-1)
    return loss / q.abs().mean(-1).detach() if normalize else loss
