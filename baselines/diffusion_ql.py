"""Diffusion-QL: a diffusion policy that clones the data while climbing Q through its sampler.

Paper: Wang et al., Diffusion Policies as an Expressive Policy Class for Offline Reinforcement
Learning, arXiv:2208.06193.
Code: official, Zhendong-Wang/Diffusion-Policies-for-Offline-RL at d871f5c,
`agents/ql_diffusion.py` and `main.py`.

Deviations:
    - Losses: the actor's Q term is the mean over which twin is climbed and which one scales it.
      Official: a coin decides in every update.
    - Targets: the average policy, which backups use, moves by 0.001 in every update. Official: by
      0.005 in every fifth, the same in the long run, and not at all during the first 1000.
    - Schedule: no decay of the learning rates (official: `--lr_decay` lowers them by 0.1% in a
      run).
    - Clipping: one default bound of the gradients' norms (official: 1 to 10, chosen for each task,
      as suites do).
    - Rewards: as they are unless a suite says otherwise (official: standardised on Adroit, shifted
      and scaled on AntMaze).
    - Budget: the suite's (official: 2 · 10⁶ updates on Gym, 10⁶ on pen; 10 and 100 episodes every
      50 000).
    - Selection: the last policy. Paper: the one picked by its cloning loss, or the best of all
      evaluations.
"""

from __future__ import annotations

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
from algorithms.blocks.critics import mean_squared_error
from algorithms.blocks.diffusion import diffusion_loss, sample, sampling_noise
from algorithms.blocks.noise_networks import noise_network
from algorithms.fields import Count, LearningRate, PolyakRate, Positive, Weight, Widths
from algorithms.networks import MLP


class DiffusionQLConfig(Config):
    """Diffusion-QL's settings, with the paper's values for Gym locomotion."""

    hidden_dims: Widths = (256, 256, 256)  # width of every hidden layer
    normalize_observations: bool = False  # the networks see raw observations
    learning_rate: LearningRate = 3e-4  # Adam, actor; 3e-5 on Adroit
    critic_learning_rate: LearningRate = 3e-4  # Adam, critics
    eta: Weight = 1.0  # η: weight of the normalised Q; 0.1 to 0.15 on Adroit, 0.5 to 4.5 on AntMaze
    diffusion_steps: Count = 5  # K, steps from noise to action
    tau: PolyakRate = 0.005  # Polyak rate of the target critic
    ema: PolyakRate = 1e-3  # Polyak rate of the policy that backups use
    max_grad_norm: Positive = 5.0  # of each network
    max_q_backup: bool = False  # back up the best of ten next actions; on most AntMaze tasks


D = TypeVar("D", bound=DiffusionQLConfig)


class DiffusionQL(Algorithm[D]):
    """min_π L_diffusion − η E Q(s, a) / E |Q|, a drawn by the whole chain of π."""

    Config = DiffusionQLConfig
    action_selection = "softmax-of-50"
    selection_temperature = 1.0

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.networks = {
            "actor": noise_network(obs, act, config.hidden_dims),
            "critic": MLP(obs + act, 1, config.hidden_dims, ensemble=2, activation="mish"),
        }
        self.optimizers = {
            "actor": Adam(config.learning_rate, max_grad_norm=config.max_grad_norm),
            "critic": Adam(config.critic_learning_rate, max_grad_norm=config.max_grad_norm),
        }
        self.targets = {"actor": config.ema, "critic": config.tau}
        self._candidates = 10 if config.max_q_backup else 1
        draw = sampling_noise(act, config.diffusion_steps)
        self.noise = {
            "next_sample": Normal(self._candidates * draw.dim),
            "epsilon": Normal(act),
            "step": Uniform(1),
            "sample": draw,
        }
        self.act_noise = {"sample": draw}
        actor = Phase(self.actor_loss, ("actor",), updates_targets=("actor", "critic"))
        self.stages = (Stage((Phase(self.critic_loss, ("critic",)), actor)),)

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Twins regress on the backup."""
        q = nets.critic(batch.observations, batch.actions)
        loss = mean_squared_error(q, self.backup(nets, batch, noise))
        return loss, {"critic/loss": loss, "critic/mean": q.mean((1, 2))}

    def backup(self, nets: Networks, batch: Batch, noise: Noise) -> Tensor:
        """r + γ min_i Q̄_i(s', a'), a' from the average policy. -> [S, B]."""
        count = self._candidates
        observations = batch.next_observations.repeat_interleave(count, 1)
        draws = noise["next_sample"].reshape(*observations.shape[:2], -1)
        actions = self.draw(nets.target, observations, draws)
        next_qs = nets.target.critic(observations, actions).unflatten(-1, (-1, count)).amax(-1)
        backup: Tensor = batch.rewards + self.config.discount * batch.masks * next_qs.amin(1)
        return backup

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        bc_loss = self.bc_loss(nets, batch, noise)
        actions = self.draw(nets, batch.observations, noise["sample"])
        q = nets.frozen.critic(batch.observations, actions)
        scale = q.abs().mean(-1).detach().flip(1)  # each twin is divided by the other's size
        q_loss = -(q.mean(-1) / scale).mean(1)
        loss = bc_loss + self.config.eta * q_loss
        return loss, {"actor/bc_loss": bc_loss, "actor/q_loss": q_loss}

    def bc_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Tensor:
        """What makes the policy a model of the data. -> [S]."""
        return diffusion_loss(
            nets.actor,
            batch.observations,
            batch.actions,
            noise["epsilon"],
            noise["step"],
            self.config.diffusion_steps,
        )

    def draw(self, nets: Networks, observations: Tensor, noise: Tensor) -> Tensor:
        """Actions of the policy in `nets`. noise: [S, B, K * action_dim] -> [S, B, action_dim]."""
        return sample(nets.actor, observations, noise, self.config.diffusion_steps)

    def action_value(self, nets: Networks, observations: Tensor, actions: Tensor) -> Tensor:
        q: Tensor = nets.target.critic(observations, actions)
        return q.amin(1)

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        return self.draw(nets, observations, noise["sample"])
