"""SRPO: a deterministic policy that climbs Q where a diffusion model of the data lets it.

Paper: Chen et al., Score Regularized Policy Optimization through Diffusion Behavior,
arXiv:2310.07297.
Code: official, thu-ml/SRPO at b3b916a, `SRPO.py`, `model.py`, `train_*.py` and `utils.py`.

Deviations:
    - Losses: the twins' errors are summed (official: averaged; Adam hardly tells them apart).
    - Networks: the frequencies of the time's features are the quantiles of |N(0, 30²)| (official:
      drawn once).
    - Activation and norm: layer norms add 1e-6 to the variance (official: 1e-5).
    - Rewards: as they are. Official: on all but AntMaze scaled so that episodes' returns span 1000,
      which a suite asks for by `reward_transform: return-range`; 1 is subtracted on AntMaze. Its
      episodes go on behind a time limit to 1000 steps, as the step there is left out of its data.
    - Data: drawn with replacement (official: in epochs, shuffled before each).
    - Budget: the suite's, of which diffusion model and critics share the first 0.6, with batches
      as large as the policy's. Official: 2 · 10⁶ updates of the diffusion model with batches of
      2048, 1.5 · 10⁶ of the critics and then 10⁶ of the policy with batches of 256; 20 episodes
      every 20 000.

What follows is as in the official code's defaults, and the paper differs:
    - The noise in x_t is not subtracted from what the diffusion model predicts of it (paper: it
      is, as a baseline, which changes no mean).
"""

from __future__ import annotations

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
    Uniform,
)
from algorithms.blocks.critics import iql_critic_loss
from algorithms.blocks.noise_networks import ResidualNoiseNetwork
from algorithms.blocks.score_networks import fourier_features
from algorithms.blocks.vp_sde import Epsilon, denoising_loss, log_alpha, noise_level
from algorithms.fields import (
    Count,
    Expectile,
    LearningRate,
    PolyakRate,
    Rate,
    Share,
    Weight,
    Widths,
)
from algorithms.networks import MLP

_WAVES = 64  # sines and cosines of the time


class SRPOConfig(Config):
    """SRPO's settings, with the official values for Gym locomotion."""

    actor_hidden_dims: Widths = (256, 256)  # hidden layers of the policy; four of them on mazes
    behavior_dim: Count = 256  # width of the diffusion model's residual network
    behavior_blocks: Count = 3  # of that network
    normalize_observations: bool = False  # the networks see raw observations
    pretrain_share: Share = 0.6  # of the budget, in which the diffusion model and the critics learn
    learning_rate: LearningRate = 3e-4  # Adam; the policy's decays to 0 along a cosine
    weight_decay: Weight = 1e-2  # of the diffusion model, as in AdamW
    dropout: Rate = 0.1  # of what enters one of its blocks, as it learns
    expectile: Expectile = 0.7  # IQL's τ; 0.9 on mazes
    tau: PolyakRate = 0.005  # Polyak rate of the target critic
    beta: Weight = 0.05  # β, weight of Q's gradient; 0.01 to 0.5, to be tuned for each task
    normalize_q_gradient: bool = False  # to a root mean square of 1 in each state; on mazes


class SRPO(Algorithm[SRPOConfig]):
    """π moves along β ∇_a Q(s, a) − E ω(t) ε(s, x_t, t), with ε and Q trained first."""

    Config = SRPOConfig

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.networks = {
            "behavior": ResidualNoiseNetwork(
                obs,
                act,
                config.behavior_dim,
                config.behavior_blocks,
                config.dropout,
                waves=_WAVES,
                embedding_dim=2 * _WAVES,
                activation="mish",
            ),
            "critic": MLP(obs + act, 1, config.hidden_dims, ensemble=2),
            "value": MLP(obs, 1, config.hidden_dims),
            "actor": MLP(obs, act, config.actor_hidden_dims),
        }
        adam = Adam(config.learning_rate)
        self.optimizers = {
            "behavior": Adam(config.learning_rate, weight_decay=config.weight_decay),
            "critic": adam,
            "value": adam,
            "actor": Adam(config.learning_rate, cosine_decay=True),
        }
        self.targets = {"critic": config.tau}
        self.noise = {"epsilon": Normal(act), "time": Uniform(1)}
        if config.dropout:
            self.noise["dropout"] = Key()
        pretraining = (
            Phase(self.behavior_loss, ("behavior",)),
            Phase(self.critic_loss, ("critic", "value"), updates_targets=("critic",)),
        )
        self.stages = (
            Stage(pretraining, config.pretrain_share),
            Stage((Phase(self.actor_loss, ("actor",)),), 1 - config.pretrain_share),
        )

    def behavior_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """E |ε(s, x_t, t) − ε|² over times from 0.001 to 1, summed over dimensions."""
        loss = denoising_loss(
            _epsilon(nets, noise.get("dropout")),
            batch.observations,
            batch.actions,
            noise["epsilon"],
            noise["time"],
        )
        return loss, {"behavior/loss": loss}

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        config = self.config
        loss, metrics, _ = iql_critic_loss(
            nets, batch, discount=config.discount, expectile=config.expectile
        )
        return loss, metrics

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """A loss whose gradient is ω(t) ε(s, x_t, t) − β ∇_a Q(s, a) times that of a = π(s).

        ω(t) = σ_t²; times from 0.02 to 0.98. Neither ε nor ∇_a Q is differentiated.
        """
        config, observations = self.config, batch.observations
        actions = torch.tanh(nets.actor(observations))
        fixed = actions.detach()
        time = 0.02 + 0.96 * noise["time"]
        sigma = noise_level(time)
        x = log_alpha(time).exp() * fixed + sigma * noise["epsilon"]
        predicted = _epsilon(nets.frozen)(observations, x, time)
        q, slope = self.q_and_slope(nets, observations, fixed)
        score_loss = (sigma.square() * predicted * actions).sum(-1).mean(-1)
        q_loss = -(slope * actions).sum(-1).mean(-1)
        loss = score_loss + config.beta * q_loss
        return loss, {"actor/loss": loss, "actor/q": q.mean(-1)}

    def q_and_slope(
        self, nets: Networks, observations: Tensor, actions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The mean of the target twins, and its gradient. -> [S, B], [S, B, action_dim]."""

        def value(a: Tensor) -> tuple[Tensor, Tensor]:
            q = nets.target.critic(observations, a).mean(1)
            return q.sum(), q

        slope, q = torch.func.grad(value, has_aux=True)(actions)
        if self.config.normalize_q_gradient:
            size = slope.square().mean(-1, keepdim=True).sqrt()
            slope = slope / size.clamp(min=1e-12)  # no slope stays none
        return q, slope

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        return torch.tanh(nets.actor(observations))


def _epsilon(nets: Networks, key: Tensor | None = None) -> Epsilon:
    """ε(s, x, t) of the diffusion model, which sees the time's features."""
    return lambda observations, x, time: nets.behavior(
        observations, x, fourier_features(time, _WAVES), key=key
    )
