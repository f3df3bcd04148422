"""CQL: SAC on data alone, whose critics are pushed down wherever the data do not hold them up.

Paper: Kumar et al., Conservative Q-Learning for Offline Reinforcement Learning, arXiv:2006.04779.
Code: young-geng/CQL at 934b0e8, as in tinkoff-ai/CORL at 6afec90, `algorithms/offline/cql.py`,
whose variant CQL(H) with importance sampling and settings of Gym locomotion are the default here.

Deviations:
    - Initialisation: the biases of the policy's last layer start within that layer's bound for
      weights, about 0.0015. CORL: at zero.
    - Rewards: as they are unless a suite says otherwise (CORL: 10 r − 5 on AntMaze;
      episodes' returns span 1000 on hopper/medium, where episodes go on behind a time limit).
    - Budget: the suite's (CORL: 10⁶ updates, 10 episodes every 5000).

CORL's options that its settings for Gym locomotion, Adroit and PointMaze do not use are left out:
cloning at first, the maximum over sampled next actions, entropy in the backup, bounds on the gap, a
temperature of the log-sum-exp other than 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from algorithms.base import (
    Adam,
    Algorithm,
    Batch,
    Loss,
    Networks,
    Noise,
    Normal,
    Phase,
    Stage,
    Uniform,
)
from algorithms.blocks.critics import mean_squared_error
from algorithms.blocks.squashed_gaussian import LogScalar, SquashedGaussian, squashed_sample
from algorithms.fields import Count, LearningRate, Number, Weight, Widths
from algorithms.initialisation import Initialisation
from algorithms.networks import MLP, Params
from baselines.sac import SAC, SACConfig

_LARGEST_MULTIPLIER = 1e6


class CQLConfig(SACConfig):
    """CQL's settings, with CORL's values for Gym locomotion."""

    hidden_dims: Widths = (256, 256, 256)  # width of every hidden layer
    normalize_observations: bool = True  # shift and scale by the dataset's mean and std
    learning_rate: LearningRate = 3e-4  # Adam, of the critics and the multiplier
    policy_learning_rate: LearningRate = 3e-5  # Adam, of policy and temperature; 1e-4 on Adroit
    alpha: Weight = 10.0  # α of Eq. 4: weight of the conservative term; 1 on Adroit
    samples: Count = 10  # actions in the log-sum-exp: uniform, of π(s), of π(s'), so many each
    target_gap: Number | None = None  # τ, at which a multiplier of α holds the gap; null: none


class ShiftedGaussian(SquashedGaussian):
    """Its log σ is m · output + c, with m and c learned, from 1 and −1."""

    def init(self, generator: torch.Generator) -> Params:
        return {**super().init(generator), "scale": torch.ones(1), "shift": -torch.ones(1)}

    def __call__(self, params: Params, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        mean, output = self.mlp(params, *inputs).chunk(2, -1)
        scale, shift = params["scale"].unsqueeze(-1), params["shift"].unsqueeze(-1)
        return mean, (scale * output + shift).clamp(*self.log_std_range)


class CQL(SAC):
    """min_Q TD error + α E_s [log Σ_a exp Q(s, a) − E_{a ~ data} Q(s, a)] (Eq. 4); π as in SAC."""

    Config = CQLConfig
    config: CQLConfig
    online_phases = Algorithm.online_phases  # from data alone

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        super().create()  # the temperature, its target, the averages and acting are SAC's
        glorot = math.sqrt(6 / (config.hidden_dims[-1] + 2 * act))
        small = Initialisation(last=0.01 * glorot)
        orthogonal = Initialisation("orthogonal", gain=math.sqrt(2), bias=0.0, last=0.01)
        self.networks["actor"] = ShiftedGaussian(obs, act, config.hidden_dims, initialisation=small)
        self.networks["critic"] = MLP(
            obs + act, 1, config.hidden_dims, ensemble=2, initialisation=orthogonal
        )
        slow = Adam(config.policy_learning_rate)
        self.optimizers |= {"actor": slow, "temperature": slow}
        if config.target_gap is not None:
            self.networks["multiplier"] = LogScalar(1.0)
            self.optimizers["multiplier"] = Adam(config.learning_rate)
        several = config.samples * act
        self.noise = {
            **self.noise,
            "uniform": Uniform(several),
            "current": Normal(several),
            "following": Normal(several),
        }
        phase = Phase(self.loss, tuple(self.networks), updates_targets=("critic",))
        self.stages = (Stage((phase,)),)

    def loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Every step is from the networks before the update."""
        actor_loss, metrics = self.actor_loss(nets, batch, noise)
        critic_loss, critic_metrics = self.critic_loss(nets, batch, noise)
        return actor_loss + critic_loss, metrics | critic_metrics

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Twins regress on r + γ min_i Q̄_i(s', a'), a' from π, and their gaps are held down."""
        config = self.config
        next_value = self.next_value(nets, batch, noise)
        backup = batch.rewards + config.discount * batch.masks * next_value
        q = nets.critic(batch.observations, batch.actions)
        td_loss = mean_squared_error(q, backup)
        gaps = (self.soft_maximum(nets, batch, noise) - q).mean(-1)  # [S, E]
        metrics = {
            "critic/loss": td_loss,
            "critic/mean": q.mean((1, 2)),
            "critic/gap": gaps.mean(1),
        }
        if config.target_gap is None:
            return td_loss + config.alpha * gaps.sum(1), metrics
        multiplier = nets.multiplier().exp().clamp(max=_LARGEST_MULTIPLIER)
        excess = gaps - config.target_gap
        gap_loss = config.alpha * multiplier.detach() * excess.sum(1)
        multiplier_loss = -config.alpha * multiplier * excess.detach().mean(1)
        return td_loss + gap_loss + multiplier_loss, {**metrics, "critic/multiplier": multiplier}

    def next_value(self, nets: Networks, batch: Batch, noise: Noise) -> Tensor:
        """min_i Q̄_i(s', a'), a' from π. -> [S, B]."""
        mean, log_std = nets.frozen.actor(batch.next_observations)
        actions, _ = squashed_sample(mean, log_std, noise["next_gaussian"])
        value: Tensor = nets.target.critic(batch.next_observations, actions).amin(1)
        return value

    def soft_maximum(self, nets: Networks, batch: Batch, noise: Noise) -> Tensor:
        """log Σ exp (Q(s, a) − log density of a), a uniform, of π(s) and of π(s'). -> [S, E, B]."""
        samples = self.config.samples
        uniform = 2 * self._each(noise["uniform"]) - 1
        observations = batch.observations.repeat_interleave(samples, 1)
        values = [nets.critic(observations, uniform) + self.action_dim * math.log(2)]
        for origin, gaussian in (
            (batch.observations, noise["current"]),
            (batch.next_observations, noise["following"]),
        ):
            actions, density = self.sample(nets, origin, gaussian)
            q = self.policy_values(nets.critic(observations, actions), batch)
            values.append(q - density.unsqueeze(1))
        stacked = torch.stack([value.unflatten(-1, (-1, samples)) for value in values], -1)
        result: Tensor = stacked.logsumexp((-2, -1))  # of [S, E, B, samples, 3]
        return result

    def policy_values(self, q: Tensor, batch: Batch) -> Tensor:
        """The values of π's actions that the soft maximum sees. [S, E, B * samples]."""
        return q

    def sample(
        self, nets: Networks, observations: Tensor, gaussian: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Several actions of π for each observation, and their log densities.

        [S, B, obs_dim], [S, B, samples * A] -> [S, B * samples, A], [S, B * samples].
        """
        mean, log_std = nets.frozen.actor(observations)
        mean, log_std = (x.repeat_interleave(self.config.samples, 1) for x in (mean, log_std))
        return squashed_sample(mean, log_std, self._each(gaussian))

    def _each(self, x: Tensor) -> Tensor:
        """[S, B, samples * A] -> [S, B * samples, A]."""
        return x.reshape(x.shape[0], -1, self.action_dim)
