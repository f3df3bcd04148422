"""floq: FQL, whose critic is a flow from a random number to Q, trained by flow matching.

Paper: Agrawalla, Nauman, Agrawal and Kumar, floq: Training Critics via Flow-Matching for Scaling
Compute in Value-Based RL, arXiv:2509.06863.
Code: official, CMU-AIRe/floq at 2e46108, `agents/floq.py`.

t enters the flow critic as cos t, as in the code; the paper has a Fourier basis. The policy climbs
an MLP's Q, distilled from the flow critic: no gradient goes through the critic's integration.

Deviations:
    - Targets: the target flow critic averages the flow critic as the update leaves it. Official: as
      it was before it.
    - Initialisation: PyTorch's, U(±1/√fan_in). Official: Glorot uniform, biases zero.
    - Clipping: before z becomes a histogram, it is clipped to within 3σ of the range of the bins.
      Official: not clipped; far outside every bin is 0, and their division by their sum is 0/0.
    - Rewards: as they are unless a suite says otherwise (official: 1 is subtracted on AntMaze). The
      range of z is that of the data's rewards (official: and of 0).
    - Data: actions are not kept 1e-5 inside ±1.
    - Budget: the suite's (official: 2 · 10⁶ updates, 50 episodes an evaluation).
"""

from __future__ import annotations

from torch import Tensor

from algorithms.base import Adam, Batch, Loss, Networks, Noise, Normal, Phase, Stage, Uniform
from algorithms.blocks.critics import mean_squared_error
from algorithms.blocks.flow import path_point
from algorithms.blocks.flow_critic import FlowCritic, flow_value
from algorithms.fields import Count, Discount, Fraction, Positive
from baselines.fql import FQL, FQLConfig

_MARGIN = 0.01  # the bins span returns of rewards so much below the lowest and above the highest


class FloqConfig(FQLConfig):
    """floq's settings, with the official defaults (floq-default)."""

    discount: Discount = 0.99  # γ; below 1, since the values of rewards without end set z's range
    critic_flow_steps: Count = 8  # K, Euler steps of the critic; 4 or 16 is to be tried
    noise_samples: Count = 8  # starts of z for each transition
    noise_coverage: Fraction = 0.1  # of the range of values, from which z starts; 0.25 to be tried
    bins: Count = 50  # of z's histogram; the code's num_bins, 51, counts their edges
    sigma: Positive = 16.0  # σ of z's histogram, in bins


class Floq(FQL):
    """L = Σ_z |v(s, a, z_t, t) − (y − z_0)|² + |Q(s, a) − E_z ψ(s, a)|² + FQL's policy loss.

    z_t = (1 − t) z_0 + t y, y = r + γ E ψ̄(s', a'), and ψ is where z_0 ends.
    """

    Config = FloqConfig
    config: FloqConfig

    def create(self) -> None:
        super().create()
        config, act = self.config, self.action_dim
        horizon = 1 / (1 - config.discount)
        lowest, highest = self.facts.lowest_reward, self.facts.highest_reward
        self.first_start = config.noise_coverage * lowest * horizon
        self.last_start = config.noise_coverage * highest * horizon
        self.networks["flow_critic"] = FlowCritic(
            self.obs_dim,
            act,
            config.hidden_dims,
            low=(lowest - _MARGIN) * horizon,
            high=(highest + _MARGIN) * horizon,
            bins=config.bins,
            sigma=config.sigma,
            layer_norm=config.layer_norm,
        )
        self.optimizers["flow_critic"] = Adam(config.learning_rate)
        self.targets = {"flow_critic": config.tau}
        samples = config.noise_samples
        each = Uniform(samples)
        self.noise = {
            **self.noise,
            "next_z": Normal(samples * act),
            "next_start": each,
            "start": each,
            "critic_time": each,
        }
        phase = Phase(self.loss, tuple(self.networks), updates_targets=("flow_critic",))
        self.stages = (Stage((phase,)),)

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        config = self.config
        backup = self.backup(nets, batch, noise)
        observations, actions = self.repeated(batch.observations), self.repeated(batch.actions)
        start = self.starts(noise["start"])
        end = self.repeated(backup.unsqueeze(-1)).unsqueeze(1)
        time = noise["critic_time"].flatten(1)[:, None, :, None].expand_as(start)
        z, rate = path_point("linear", start, end, time)
        velocity = nets.flow_critic(observations, actions, z, time)
        # Summed over the starts, averaged over the twins and the batch, as in the code.
        flow_loss = config.noise_samples * (velocity - rate).square().mean((1, 2, 3))

        values = flow_value(
            nets.frozen.flow_critic, observations, actions, start, config.critic_flow_steps
        )
        value = values.view(*start.shape[:2], *noise["start"].shape[1:]).mean((1, 3))
        q = nets.critic(batch.observations, batch.actions)
        distill_loss = mean_squared_error(q, value) / 2  # averaged over the twins
        return flow_loss + distill_loss, {
            "critic/loss": distill_loss,
            "critic/mean": q.mean((1, 2)),
            "flow_critic/loss": flow_loss,
            "flow_critic/mean": value.mean(-1),
        }

    def backup(self, nets: Networks, batch: Batch, noise: Noise) -> Tensor:
        """y = r + γ E ψ̄(s', a'), over starts of z with an action each. -> [S, B]."""
        config = self.config
        shape = (config.noise_samples, self.action_dim)
        following = self.repeated(batch.next_observations)
        next_z = noise["next_z"].reshape(*batch.rewards.shape, *shape).flatten(1, 2)
        next_actions = nets.frozen.actor(following, next_z).clamp(-1, 1)
        start = self.starts(noise["next_start"])
        ends = flow_value(
            nets.target.flow_critic, following, next_actions, start, config.critic_flow_steps
        )
        each = ends.amin(1) if config.q_aggregation == "min" else ends.mean(1)
        next_q = each.view(noise["next_start"].shape).mean(-1)
        return batch.rewards + config.discount * batch.masks * next_q

    def repeated(self, x: Tensor) -> Tensor:
        """Each transition as often as it has starts of z. [S, B, ·] -> [S, B * samples, ·]."""
        return x.repeat_interleave(self.config.noise_samples, 1)

    def starts(self, share: Tensor) -> Tensor:
        """z_0, the twins' alike, from its share of their range. [S, B, samples] -> [S, 2, N, 1]."""
        start = self.first_start + share * (self.last_start - self.first_start)
        return start.flatten(1)[:, None, :, None].expand(-1, 2, -1, -1)
