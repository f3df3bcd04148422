"""SAC: a squashed Gaussian policy that maximises return and entropy, at a temperature it learns.

Paper: Haarnoja et al., Soft Actor-Critic Algorithms and Applications, arXiv:1812.05905.
Code: official, rail-berkeley/softlearning at 13cf187, `softlearning/algorithms/sac.py`,
`softlearning/policies/gaussian_policy.py` and `examples/development/variants.py`.

It is meant for learning online, where it makes the locomotion data of D4RL's recipe. On data alone
nothing holds it to them, and its critic overestimates what they do not cover.

Deviations:
    - Losses: the critics' is the squared error; the official code halves it, which Adam's step does
      not notice but for its ε, which is 1e-8 (official: 1e-7, before the second moment's
      correction).
    - Data: the replay buffer keeps everything that was seen. Official: the last million
      transitions.
    - Budget: the suite's (official: 10⁶ updates on Hopper, 3 · 10⁶ on HalfCheetah and Walker2d, as
      many as environment steps).

The policy climbs the twins' mean, as in the official code; the paper has the smaller twin (Section
5).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from algorithms.base import Batch, Loss, Networks, Noise, Normal, Phase, Stage
from algorithms.blocks.squashed_gaussian import SquashedGaussian, squashed_sample
from algorithms.initialisation import GLOROT
from algorithms.networks import MLP, Params
from baselines.sac import SAC

SMALLEST_STD = 1e-5


class SoftplusGaussian(SquashedGaussian):
    """Its σ is softplus(output) + 1e-5."""

    def __call__(self, params: Params, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        mean, output = self.mlp(params, *inputs).chunk(2, -1)
        return mean, (F.softplus(output) + SMALLEST_STD).log()


class SoftActorCritic(SAC):
    """max_π E [Q(s, a) − α log π(a | s)], α such that −E log π = H̄ (Eq. 5, 9 and 18)."""

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        super().create()  # the temperature, its target, the optimisers and averages are its
        self.networks["actor"] = SoftplusGaussian(
            obs, act, config.hidden_dims, initialisation=GLOROT
        )
        self.networks["critic"] = MLP(
            obs + act, 1, config.hidden_dims, ensemble=2, initialisation=GLOROT
        )
        self.noise = {**self.noise, "temperature_gaussian": Normal(act)}
        phases = (
            Phase(self.critic_loss, ("critic",), updates_targets=("critic",)),
            Phase(self.actor_loss, ("actor",)),
            Phase(self.temperature_loss, ("temperature",)),
        )
        self.stages = (Stage(phases),)

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Eq. 9, with the twins' mean: α log π − mean_i Q_i."""
        mean, log_std = nets.actor(batch.observations)
        actions, log_prob = squashed_sample(mean, log_std, noise["gaussian"])
        q = nets.frozen.critic(batch.observations, actions).mean(1)
        alpha = nets.frozen.temperature().exp().unsqueeze(-1)
        loss = (alpha * log_prob - q).mean(-1)
        return loss, {"actor/loss": loss}

    def temperature_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Eq. 18: −α E [log π + H̄], of actions that the policy samples after its step."""
        mean, log_std = nets.frozen.actor(batch.observations)
        _, log_prob = squashed_sample(mean, log_std, noise["temperature_gaussian"])
        alpha, entropy = nets.temperature().exp(), -log_prob.mean(-1)
        metrics = {"actor/entropy": entropy, "actor/temperature": alpha}
        return alpha * (entropy - self.target_entropy), metrics
