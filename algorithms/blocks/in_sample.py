"""In-sample learning: V from the data's actions, Q from V, and a weighted clone of the data.

IQL's scheme as Extreme Q-Learning, SQL and EQL take it over; each has its own loss of V and its own
weights. Shapes: `S` seeds, `B` batch.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

import torch
from torch import Tensor

from algorithms.base import (
    Adam,
    Algorithm,
    Batch,
    Config,
    Key,
    Loss,
    Networks,
    Noise,
    Normal,
    Phase,
    Stage,
)
from algorithms.blocks.critics import mean_squared_error
from algorithms.fields import LearningRate, PolyakRate, Positive, Rate
from algorithms.initialisation import ORTHOGONAL
from algorithms.networks import MLP, GaussianActor, gaussian_log_prob


class InSampleConfig(Config):
    """What the methods have in common, with IQL's values for Gym locomotion."""

    normalize_observations: bool = False  # the networks see raw observations
    learning_rate: LearningRate = 3e-4  # Adam; the actor's decays to 0 along a cosine
    tau: PolyakRate = 0.005  # Polyak rate of the target critic
    max_weight: Positive = 100.0  # bound of the clone's weights
    dropout: Rate = 0.0  # of the actor's hidden units


F = TypeVar("F", bound=InSampleConfig)


class InSample(Algorithm[F]):
    """V, then the policy and Q with the new V, one step each."""

    action_selection = "noise-0"  # the mean
    online_sampling = "uniform"

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        hidden = config.hidden_dims
        self.networks = {
            "value": MLP(
                obs, 1, hidden, layer_norm=True, norm_first=True, initialisation=ORTHOGONAL
            ),
            "actor": GaussianActor(
                obs, act, hidden, dropout=config.dropout, initialisation=ORTHOGONAL
            ),
            "critic": MLP(obs + act, 1, hidden, ensemble=2, initialisation=ORTHOGONAL),
        }
        self.optimizers = {
            "value": Adam(config.learning_rate),
            "actor": Adam(config.learning_rate, cosine_decay=True),
            "critic": Adam(config.learning_rate),
        }
        self.targets = {"critic": config.tau}
        self.noise = {"dropout": Key()} if config.dropout else {}
        self.act_noise = {"gaussian": Normal(act)}
        phases = (
            Phase(self.value_loss, ("value",)),
            Phase(self.actor_loss, ("actor",)),
            Phase(self.critic_loss, ("critic",), updates_targets=("critic",)),
        )
        self.stages = (Stage(phases),)

    def online_phases(self) -> tuple[Phase, ...]:
        return self.stages[0].phases

    @abstractmethod
    def value_errors(self, q: Tensor, value: Tensor) -> Tensor:
        """What V minimises the mean of. q: the smaller target's. [S, B] each -> [S, B]."""

    @abstractmethod
    def weights(self, advantage: Tensor) -> Tensor:
        """How much the clone makes of actions, before the bound. [S, B] -> [S, B]."""

    def value_inputs(self, batch: Batch, noise: Noise) -> tuple[Tensor, Tensor]:
        """Observations and actions whose Q V sees. -> [S, B', obs_dim], [S, B', action_dim]."""
        return batch.observations, batch.actions

    def value_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        observations, actions = self.value_inputs(batch, noise)
        q = nets.target.critic(observations, actions).amin(1)
        value = nets.value(observations)
        loss = self.value_errors(q, value).mean(-1)
        return loss, {"value/loss": loss, "value/mean": value.mean(-1)}

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        q = nets.target.critic(batch.observations, batch.actions).amin(1)
        weight = self.weights(q - nets.frozen.value(batch.observations))
        weight = weight.clamp(max=self.config.max_weight)
        mean, log_std = nets.actor(batch.observations, key=noise.get("dropout"))
        loss = -(weight * gaussian_log_prob(batch.actions, mean, log_std)).mean(-1)
        return loss, {"actor/loss": loss, "actor/weight": weight.mean(-1)}

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Twins regress on r + γ V(s')."""
        next_value = nets.frozen.value(batch.next_observations)
        backup = batch.rewards + self.config.discount * batch.masks * next_value
        q = nets.critic(batch.observations, batch.actions)
        loss = self.critic_error(q, backup)
        return loss, {"critic/loss": loss, "critic/mean": q.mean((1, 2))}

    def critic_error(self, q: Tensor, backup: Tensor) -> Tensor:
        """The error of both twins. [S, 2, B], [S, B] -> [S]."""
        return mean_squared_error(q, backup)

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        mean, log_std = nets.actor(observations)
        action: Tensor = mean + log_std.exp() * noise["gaussian"]
        return action


def linex_loss(exponent: Tensor, linear: Tensor) -> Tensor:
    """exp(x) − y − 1, over the batch's largest exp(x), or over 1/e where that is smaller.

    Where x = y = (q − v) / β, its mean has no slope at v = β log E exp(q / β): Gumbel regression
    (arXiv:2301.02328, Eq. 11). The factor, which carries no gradient, keeps exp from overflowing.
    [S, B] each -> [S, B].
    """
    largest = exponent.detach().amax(-1, keepdim=True).clamp(min=-1)
    return torch.exp(exponent - largest) - (linear + 1) * torch.exp(-largest)
