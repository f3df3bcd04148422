"""SAC-N and EDAC: SAC on data alone, pessimistic by the smallest of many critics.

Paper: An et al., Uncertainty-Based Offline Reinforcement Learning with Diversified Q-Ensemble,
arXiv:2110.01548. SAC-N is its Section 3, EDAC its Section 4.
Code: snu-mllab/EDAC at 198d570, as in tinkoff-ai/CORL at 6afec90, `algorithms/offline/sac_n.py` and
`algorithms/offline/edac.py`.

Deviations:
    - Losses: log π is exact. Official, CORL: 1e-6 is added to 1 − a² in it.
    - Update order: temperature, policy and critics, each after the step before and with a draw of
      its own, as in CORL. Official: all three losses are of the networks before the update, those
      of temperature and policy of one draw.
    - Initialisation: the weights of first layers start as PyTorch's do, U(±1/√fan_in). Official:
      those of the policy's, CORL: those of the critics', U(±1/√fan_out), 1/16.
    - Budget: the suite's (CORL: 3 · 10⁶ updates, 10 episodes every 5000).
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.base import Algorithm, Batch, Loss, Networks, Noise, Normal, Phase, Stage
from algorithms.blocks.squashed_gaussian import SquashedGaussian, squashed_sample
from algorithms.fields import Several, Weight, Widths
from algorithms.initialisation import Initialisation
from algorithms.networks import MLP
from baselines.sac import SAC, SACConfig

_LOG_STD_RANGE = (-5.0, 2.0)


class SACNConfig(SACConfig):
    """SAC-N's settings, with CORL's values for halfcheetah/medium."""

    hidden_dims: Widths = (256, 256, 256)  # width of every hidden layer
    critics: Several = 10  # N; 20 on Walker2d, 200 or 500 on Hopper, 100 on Adroit, 25 on mazes


class EDACConfig(SACNConfig):
    """EDAC's settings, with CORL's values for halfcheetah/medium."""

    critics: Several = 10  # N; 50 on Hopper, door, hammer and relocate, 20 on pen
    eta: Weight = 1.0  # η: weight of the critics' likeness; 10 to 1000 on Adroit, 0.1 on mazes


class SACN(SAC):
    """SAC, whose target and policy see min_i Q_i of N critics."""

    Config = SACNConfig
    config: SACNConfig
    online_phases = Algorithm.online_phases  # from data alone

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        super().create()  # the temperature, its target, the optimisers and averages are SAC's
        self.networks["actor"] = SquashedGaussian(
            obs,
            act,
            config.hidden_dims,
            _LOG_STD_RANGE,
            initialisation=Initialisation(bias=0.1, last=1e-3),
        )
        self.networks["critic"] = MLP(
            obs + act,
            1,
            config.hidden_dims,
            ensemble=config.critics,
            initialisation=Initialisation(bias=0.1, last=3e-3),
        )
        self.noise = {**self.noise, "temperature_gaussian": Normal(act)}
        phases = (
            Phase(self.temperature_loss, ("temperature",)),
            Phase(self.actor_loss, ("actor",)),
            Phase(self.critic_loss, ("critic",), updates_targets=("critic",)),
        )
        self.stages = (Stage(phases),)

    def temperature_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """−log α (E log π + H̄)."""
        mean, log_std = nets.frozen.actor(batch.observations)
        _, log_prob = squashed_sample(mean, log_std, noise["temperature_gaussian"])
        log_alpha, entropy = nets.temperature(), -log_prob.mean(-1)
        metrics = {"actor/entropy": entropy, "actor/temperature": log_alpha.exp()}
        return log_alpha * (entropy - self.target_entropy), metrics

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """α log π − min_i Q_i, with the α of after its step."""
        mean, log_std = nets.actor(batch.observations)
        actions, log_prob = squashed_sample(mean, log_std, noise["gaussian"])
        q = nets.frozen.critic(batch.observations, actions).amin(1)
        alpha = nets.frozen.temperature().exp().unsqueeze(-1)
        loss = (alpha * log_prob - q).mean(-1)
        return loss, {"actor/loss": loss}


class EDAC(SACN):
    """SAC-N with critics whose gradients in the action are kept apart (Algorithm 1)."""

    Config = EDACConfig
    config: EDACConfig

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        loss, metrics = super().critic_loss(nets, batch, noise)
        likeness = self.likeness(nets, batch)
        return loss + self.config.eta * likeness, {**metrics, "critic/likeness": likeness}

    def likeness(self, nets: Networks, batch: Batch) -> Tensor:
        """1 / (N − 1) Σ_{i≠j} cos(∇_a Q_i, ∇_a Q_j) at the data, from −N / (N − 1) to N. -> [S]."""
        count = self.config.critics
        # Each critic gets actions of its own: else their gradients would come as one sum.
        observations, actions = (
            x.unsqueeze(1).expand(-1, count, -1, -1) for x in (batch.observations, batch.actions)
        )
        slopes = torch.func.grad(lambda a: nets.critic(observations, a).sum())(actions)
        units = slopes / (slopes.norm(dim=-1, keepdim=True) + 1e-10)  # [S, N, B, action_dim]
        # Σ_{i≠j} u_i · u_j = |Σ u_i|² − Σ |u_i|²
        pairs = units.sum(1).square().sum(-1) - units.square().sum((1, 3))
        result: Tensor = pairs.mean(-1) / (count - 1)
        return result
