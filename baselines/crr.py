"""CRR: cloning of the data's actions that are better than the policy's own, by a learned critic.

Paper: Wang et al., Critic Regularized Regression, arXiv:2006.15134.
Code: google-deepmind/acme at 41a13e2, `acme/agents/jax/crr/`; for the critic-weighted policy, which
it leaves out, takuseno/d3rlpy at 0599a4f, `d3rlpy/algos/qlearning/torch/crr_impl.py`.

Deviations:
    - Losses: actions of the data are kept 10⁻⁶ inside ±1 for their density. Code: beyond ±0.999 it
      is the probability of all that lies there.
    - Losses: the critics' is the squared error; the code halves it, which Adam does not notice but
      for its ε.
    - Losses: an action is weighed by its own advantage, and a Q meets its own target. Code: as
      arrays of one and of two dimensions meet, all by the mean weight of the batch (mended in
      4974004), and all targets of the batch.
    - Targets: Polyak averages with τ = 0.005, d3rlpy's rate. Code: copies every 100 updates.
    - Networks: two critics, of which the smaller value counts. Paper and code: one.
    - Initialisation: PyTorch's, U(±1/√fan_in). Code: U(±√(3/fan_in)), and zeros.
    - Activation and norm: log σ is the network's output, clamped to [-20, 2]. Code:
      σ = softplus(output) + 10⁻³.
    - Budget: the suite's, and d3rlpy's learning rate (code: its caller's; its example of Gym
      locomotion has 3e-5 for the policy, batches of 64 and backups of the data's next actions).
    - Evaluation: the critic-weighted policy draws from 4 candidates by softmax(Q / β), as d3rlpy
      does at β = 1, with the trained networks. Code: the mode of the target policy acts.

What follows is as in the code, and the paper differs:
    - The critics regress on expected values (paper: on categorical distributions of them).
    - The policy is one squashed Gaussian (paper: a mixture of Gaussians).
    - Networks are small perceptrons (paper: residual and, on some tasks, recurrent ones).
"""

from __future__ import annotations

from typing import Literal

import torch
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
)
from algorithms.blocks.critics import mean_squared_error
from algorithms.blocks.squashed_gaussian import (
    SquashedGaussian,
    squashed_log_prob,
    squashed_sample,
)
from algorithms.fields import Count, LearningRate, PolyakRate, Positive
from algorithms.networks import MLP


class CRRConfig(Config):
    """CRR's settings, with the code's values or, where it has none, d3rlpy's."""

    normalize_observations: bool = False  # the networks see raw observations
    learning_rate: LearningRate = 3e-4  # Adam, of policy and critics
    samples: Count = 4  # m, actions of the policy in the advantage
    advantage: Literal["mean", "max"] = "mean"  # Q(s, a) less their mean value, or their largest
    weight: Literal["exp", "binary"] = "exp"  # f: min(exp(A / β), max_weight), or 1[A > 0]
    temperature: Positive = 1.0  # β of exp(A / β), and of the critic-weighted policy
    max_weight: Positive = 20.0  # bound of exp(A / β)
    tau: PolyakRate = 0.005  # τ, Polyak rate of the targets


class CRR(Algorithm[CRRConfig]):
    """max_π E [f(A) log π(a | s)], A = Q(s, a) less the mean or largest Q(s, a_j), a_j from π."""

    Config = CRRConfig
    action_selection = "softmax-of-4"  # the critic-weighted policy

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.networks = {
            "actor": SquashedGaussian(obs, act, config.hidden_dims),
            "critic": MLP(obs + act, 1, config.hidden_dims, ensemble=2),
        }
        self.optimizers = {name: Adam(config.learning_rate) for name in self.networks}
        self.targets = {"actor": config.tau, "critic": config.tau}
        self.noise = {"next_gaussian": Normal(act), "gaussian": Normal(config.samples * act)}
        self.act_noise = {"gaussian": Normal(act)}
        self.selection_temperature = config.temperature
        phase = Phase(self.loss, ("actor", "critic"), updates_targets=("actor", "critic"))
        self.stages = (Stage((phase,)),)

    def loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Both steps are from the networks before the update."""
        critic_loss, critic_metrics = self.critic_loss(nets, batch, noise)
        actor_loss, metrics = self.actor_loss(nets, batch, noise)
        return critic_loss + actor_loss, critic_metrics | metrics

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Eq. 1: twins regress on r + γ min_i Q̄_i(s', a'), a' from the target policy."""
        mean, log_std = nets.target.actor(batch.next_observations)
        next_actions, _ = squashed_sample(mean, log_std, noise["next_gaussian"])
        next_q = nets.target.critic(batch.next_observations, next_actions).amin(1)
        backup = batch.rewards + self.config.discount * batch.masks * next_q
        q = nets.critic(batch.observations, batch.actions)
        loss = mean_squared_error(q, backup)
        return loss, {"critic/loss": loss, "critic/mean": q.mean((1, 2))}

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Eq. 2: −f(A) log π(a | s), with an f that carries no gradient."""
        mean, log_std = nets.actor(batch.observations)
        weight = self.weight(self.advantage(nets, batch, noise))
        loss = -(weight * squashed_log_prob(batch.actions, mean, log_std)).mean(-1)
        return loss, {"actor/loss": loss, "actor/weight": weight.mean(-1)}

    def advantage(self, nets: Networks, batch: Batch, noise: Noise) -> Tensor:
        """What the data's action is worth beyond m of the policy's. -> [S, B]."""
        samples, frozen = self.config.samples, nets.frozen
        mean, log_std = (x.repeat_interleave(samples, 1) for x in frozen.actor(batch.observations))
        gaussian = noise["gaussian"].reshape(mean.shape)  # [S, B * m, action_dim]
        own, _ = squashed_sample(mean, log_std, gaussian)
        observations = batch.observations.repeat_interleave(samples, 1)
        values = frozen.critic(observations, own).amin(1).unflatten(1, (-1, samples))
        value: Tensor = values.mean(-1) if self.config.advantage == "mean" else values.amax(-1)
        q: Tensor = frozen.critic(batch.observations, batch.actions).amin(1)
        return q - value

    def weight(self, advantage: Tensor) -> Tensor:
        """f of Eq. 3 or 4, element-wise."""
        if self.config.weight == "binary":
            return (advantage > 0).float()
        weight = torch.exp(advantage / self.config.temperature)
        return weight.clamp(max=self.config.max_weight)

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        mean, log_std = nets.actor(observations)
        return torch.tanh(mean + log_std.exp() * noise["gaussian"])
