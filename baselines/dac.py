"""DAC: a diffusion policy that clones the data's noise, turned along the slope of Q.

Paper: Fang et al., Diffusion Actor-Critic: Formulating Constrained Policy Iteration as Diffusion
Noise Regression for Offline Reinforcement Learning, arXiv:2405.20555.
Code: official, Fang-Lin93/DAC at e254357, `agents/dac.py`, `main.py` and `runs.sh`.

Deviations:
    - Targets: the average policy, which backups use, moves by 0.001 in every update. Official: by
      0.005 in every fifth, the same in the long run, and not at all during the first 1000.
    - Rewards: as the suite says. Official: episodes' returns span 1000
      (`reward_transform: return-range`), on AntMaze too.
    - Data: actions are not kept 1e-5 inside ±1, and transitions are drawn with replacement
      (official: in passes over the shuffled data).
    - Budget: the suite's (official: 2 · 10⁶ updates, 10 episodes every 10 000).
    - Selection: the last policy (official: the mean of the last five evaluations).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

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
    Uniform,
)
from algorithms.blocks.critics import lower_confidence_bound
from algorithms.blocks.diffusion import (
    Decision,
    Epsilon,
    add_noise,
    noise_level,
    sampling_noise,
    walk_back,
)
from algorithms.blocks.noise_networks import StepMLP
from algorithms.blocks.squashed_gaussian import LogScalar
from algorithms.fields import (
    Count,
    LearningRate,
    PolyakRate,
    Positive,
    Several,
    ShareOrNone,
    Weight,
    Widths,
)
from algorithms.initialisation import GLOROT
from algorithms.networks import MLP, Params

_ETA_RANGE = (1e-3, 100.0)


class DACConfig(Config):
    """DAC's settings, with the official values for walker2d."""

    hidden_dims: Widths = (256, 256, 256)  # width of every hidden layer
    normalize_observations: bool = False  # the networks see raw observations
    learning_rate: LearningRate = 3e-4  # Adam, actor; decays to 0 along a cosine
    critic_learning_rate: LearningRate = 3e-4  # Adam, critics; likewise; 1e-3 on large AntMazes
    eta: Positive = 1.0  # η at first: weight of cloning beside Q; 0.1 on AntMaze
    eta_step: ShareOrNone = 1e-3  # of the dual ascent in η; 0 leaves η as it is, as on AntMaze
    bc_threshold: Weight = 1.0  # b: η rises while cloning is worse; other on medium-expert
    diffusion_steps: Count = 5  # K, steps from noise to action
    critics: Several = 10  # H
    rho: Weight = 1.0  # ρ: standard deviations below the critics' mean; 0 to 1.5
    samples: Count = 10  # next actions that a backup averages Q over
    max_q_backup: bool = False  # back up the best of them instead; on AntMaze
    tau: PolyakRate = 0.005  # Polyak rate of the target critic
    ema: PolyakRate = 1e-3  # Polyak rate of the policy that backups use
    max_grad_norm: Positive = 1.0  # of each network


class DAC(Algorithm[DACConfig]):
    """min_ε η E |ε(s, x_k, k) − noise|² + E √(1 − ᾱ_k) ⟨∇_x Q(s, x_k), ε(s, x_k, k)⟩ / E |Q|."""

    Config = DACConfig
    action_selection = "best-of-10"

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.networks = {
            "actor": StepMLP(obs, act, act, config.hidden_dims, initialisation=GLOROT),
            "critic": MLP(
                obs + act,
                1,
                config.hidden_dims,
                config.critics,
                activation="mish",
                initialisation=GLOROT,
            ),
            "eta": LogScalar(math.log(config.eta)),
        }
        self.optimizers = {
            name: Adam(rate, cosine_decay=True, max_grad_norm=config.max_grad_norm)
            for name, rate in (
                ("actor", config.learning_rate),
                ("critic", config.critic_learning_rate),
            )
        }
        self.targets = {"actor": config.ema, "critic": config.tau}
        draw = sampling_noise(act, config.diffusion_steps)
        self.noise = {
            "next_sample": Normal(config.samples * draw.dim),
            "epsilon": Normal(act),
            "step": Uniform(1),
        }
        self.act_noise = {"sample": draw}
        critic = Phase(self.critic_loss, ("critic",), updates_targets=("critic",))
        actor = Phase(
            self.actor_loss, ("actor",), updates_targets=("actor",), assigns=self.ascend_in_eta
        )
        self.stages = (Stage((critic, actor)),)

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """All critics regress on r + γ LCB_i Q_i(s', a'), a' from the average policy."""
        config, count = self.config, self.config.samples
        observations = batch.next_observations.repeat_interleave(count, 1)
        draws = noise["next_sample"].reshape(*observations.shape[:2], -1)
        actions = self.draw(nets.target.actor, observations, draws)
        next_qs = nets.target.critic(observations, actions).unflatten(-1, (-1, count))
        next_qs = next_qs.amax(-1) if config.max_q_backup else next_qs.mean(-1)
        next_q = lower_confidence_bound(next_qs, config.rho)
        backup = batch.rewards + config.discount * batch.masks * next_q
        q = nets.critic(batch.observations, batch.actions)
        loss = (q - backup.unsqueeze(1)).square().mean((1, 2))
        return loss, {"critic/loss": loss, "critic/mean": q.mean((1, 2))}

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Cloning, and soft Q-guidance: the less noise there is in x_k, the weaker."""
        decision, bc_loss = self.cloning(nets, batch, noise)
        x, step, predicted = decision
        level = noise_level(step, self.config.diffusion_steps)
        guidance = level * self.q_slopes(nets, batch, x)
        guidance_loss = (guidance * predicted).mean((1, 2))
        eta = nets.frozen.eta().exp()
        return eta * bc_loss + guidance_loss, {
            "actor/bc_loss": bc_loss,
            "actor/guidance_loss": guidance_loss,
            "actor/eta": eta,
        }

    def cloning(self, nets: Networks, batch: Batch, noise: Noise) -> tuple[Decision, Tensor]:
        """The noise that the policy finds in the data's noised actions, and its error. -> [S]."""
        steps = self.config.diffusion_steps
        x, step = add_noise(batch.actions, noise["epsilon"], noise["step"], steps)
        predicted = nets.actor(batch.observations, x, step)
        error = (predicted - noise["epsilon"]).square().mean((1, 2))
        return Decision(x, step, predicted), error

    def q_slopes(self, nets: Networks, batch: Batch, x: Tensor) -> Tensor:
        """∇_x mean_i Q_i(s, x) / mean |Q_i| on the data. x: [S, B, action_dim] -> the same."""
        observations, critic = batch.observations, nets.target.critic
        size: Tensor = critic(observations, batch.actions).abs().mean((1, 2)) + 1e-6
        slopes: Tensor = torch.func.grad(lambda a: critic(observations, a).mean(1).sum())(x)
        return slopes / size.view(-1, 1, 1)

    def ascend_in_eta(self, nets: Networks, batch: Batch, noise: Noise) -> Mapping[str, Params]:
        """η rises by the excess over the threshold of the cloning loss, before the policy steps."""
        config = self.config
        _, bc_loss = self.cloning(nets, batch, noise)
        rise = config.eta_step * (bc_loss - config.bc_threshold).clamp(-1, 1)
        eta = (nets.eta().exp() + rise).clamp(*_ETA_RANGE)
        return {"eta": {"log": eta.log().unsqueeze(-1)}}

    def action_value(self, nets: Networks, observations: Tensor, actions: Tensor) -> Tensor:
        """The target critics' mean. [S, B, ·] -> [S, B]."""
        q: Tensor = nets.target.critic(observations, actions)
        return q.mean(1)

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        return self.draw(nets.actor, observations, noise["sample"])

    def draw(self, epsilon: Epsilon, observations: Tensor, noise: Tensor) -> Tensor:
        """Actions of that policy. [S, B, obs_dim] -> [S, B, action_dim]."""
        steps = self.config.diffusion_steps
        return walk_back(epsilon, observations, noise, steps, variance="added")[0]
