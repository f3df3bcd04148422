"""Diffuser: a diffusion model of whole stretches of behaviour, steered to those of high return.

Paper: Janner et al., Planning with Diffusion for Flexible Behavior Synthesis, arXiv:2205.09991.
Code: official, jannerm/diffuser at 7ea4228, `config/locomotion.py`, `diffuser/models/` and
`diffuser/sampling/`.

A decision costs: `plans` plans go `diffusion_steps` times in a row through the U-Net, and before
all but the last `unguided` of these `guide_steps` times through the value network and back.
On Hopper that is 57 passes in a row, 36 of them with a gradient, some 0.15 TFLOP a step of an
episode, and 1.5 PFLOP for ten full episodes. Beyond trials, it needs a GPU.

Deviations:
    - Targets: the averages that plan move by 0.0005 in every update. Official: by 0.005 in every
      tenth, the same in the long run, and they are the weights themselves during the first 2000.
    - Networks: no linear attention in the U-Net (official: on HalfCheetah alone; paper: nowhere).
    - Observations: divided by their standard deviation + 1e-3 (official: + 0).
    - Data: actions are learned as they are (official: shifted and scaled like observations).
    - Data: windows are filled up behind an episode's end with the mean observation (official: with
      zeros before the scaling), begin at its last step, too, and at any step of long episodes
      (official: not in the last 32 of 1000). They are drawn with replacement (official: passes). An
      episode that the end of a file cuts is kept (official: not).
    - Data: values count what follows a time limit at the data's mean reward, penalties of
      terminal steps included (official: 0), and a step at a time limit is left out of D4RL's files
      (official: not).
    - Budget: the suite's; the value network takes a fifth as many updates, as official (official:
      10⁶ and 200 000, one after the other; 150 episodes).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from algorithms.base import (
    Adam,
    Algorithm,
    Batch,
    Config,
    History,
    Loss,
    Networks,
    Noise,
    Normal,
    Phase,
    Stage,
    Uniform,
)
from algorithms.blocks.plan_diffusion import CosineSchedule, begin_with
from algorithms.blocks.temporal_unet import TemporalUNet, TemporalValue
from algorithms.fields import Channels, Count, Fraction, LearningRate, Number, PolyakRate, Weight
from algorithms.transitions import Transitions


class DiffuserConfig(Config):
    """Diffuser's settings, with the official code's values for Gym locomotion."""

    hidden_dims: Channels = (32, 64, 128, 256)  # channels at each resolution, of both networks
    batch_size: Count = 64  # B, windows per update; official: two halves, their gradients averaged
    discount: Fraction = 0.997  # γ of the values that plan; official training: 0.99
    horizon: Count = 32  # T, steps of a window and of a plan
    diffusion_steps: Count = 20  # N, steps from noise to plan
    action_weight: Weight = 10.0  # of the first action's error
    termination_penalty: Number = -100.0  # added to the reward of a terminal step
    learning_rate: LearningRate = 2e-4  # Adam, both networks
    ema: PolyakRate = 5e-4  # Polyak rate of the weights that plan
    value_every: Count = 5  # updates of the model for each of the value network
    plans: Count = 64  # of a decision; the most valuable one's first action is taken
    guide_scale: Weight = 0.1  # α, steps up the value, in units of the posterior's variance
    guide_steps: Count = 2  # such steps in each diffusion step
    unguided: Annotated[int, Field(ge=0)] = 2  # last diffusion steps without them


class Diffuser(Algorithm[DiffuserConfig]):
    """min E |x_0 − μ_θ(x_k, k)|² over windows x_0 of (a, s); plans by μ_θ + α Σ ∇J."""

    Config = DiffuserConfig
    cheap: ClassVar = {"hidden_dims": (16, 16), "horizon": 2, "plans": 2, "diffusion_steps": 3}

    @classmethod
    def select(cls, config: DiffuserConfig, transitions: Transitions) -> Transitions:
        """All data, with the penalty on each terminal step."""
        return penalise_terminals(transitions, config.termination_penalty)

    def create(self) -> None:
        config, dim = self.config, self.action_dim + self.obs_dim
        self.context = config.horizon
        self.schedule = CosineSchedule(config.diffusion_steps)
        self.networks = {
            "model": TemporalUNet(dim, config.hidden_dims),
            "value": TemporalValue(dim, config.hidden_dims, config.horizon),
        }
        self.optimizers = {name: Adam(config.learning_rate) for name in self.networks}
        self.targets = dict.fromkeys(self.networks, config.ema)
        plan = config.horizon * dim
        self.noise = {
            "epsilon": Normal(plan),
            "step": Uniform(1),
            "value_epsilon": Normal(plan),
            "value_step": Uniform(1),
        }
        self.act_noise = {"plans": Normal(config.plans * config.diffusion_steps * plan)}
        model = Phase(self.model_loss, ("model",), updates_targets=("model",))
        value = Phase(
            self.value_loss, ("value",), every=config.value_every, updates_targets=("value",)
        )
        self.stages = (Stage((model, value)),)

    def supports(self, selection: str) -> bool:
        """Its noise is what sets plans apart: without it all would be one."""
        return selection == self.action_selection

    def model_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """The plan from its noisy one; the first observation is known, its first action counts."""
        plans = torch.cat([batch.actions, batch.observations], -1)
        x, step = self._noisy(batch, noise["epsilon"], noise["step"])
        found = begin_with(nets.model(x, step), batch.observations[:, :, 0])
        error = (found - plans).square()
        first = error[:, :, 0, : self.action_dim].sum(-1) / plans[0, 0].numel()
        loss = (error.mean((2, 3)) + (self.config.action_weight - 1) * first).mean(1)
        return loss, {"model/loss": loss}

    def value_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """J(x_k, k) regresses on the return from the plan's first step on."""
        x, step = self._noisy(batch, noise["value_epsilon"], noise["value_step"])
        values = nets.value(x, step)
        loss = (values - batch.returns[:, :, 0]).square().mean(1)
        return loss, {"value/loss": loss, "value/mean": values.mean(1)}

    def act(self, nets: Networks, history: History, noise: Noise) -> Tensor:
        config, actions = self.config, self.action_dim
        seeds, episodes = history.steps.shape[:2]
        observations = history.observations[:, :, -1].repeat_interleave(config.plans, 1)
        shape = (seeds, episodes * config.plans, config.diffusion_steps, config.horizon, -1)
        start, *added = noise["plans"].reshape(shape).unbind(2)
        x = begin_with(start, observations)
        for k, fresh in zip(range(config.diffusion_steps, 1, -1), added, strict=True):
            for _ in range(config.guide_steps if k > config.unguided else 0):
                x = begin_with(x + self._climb(nets, x, k), observations)
            plans = nets.target.model(x, torch.full_like(x[:, :, 0, :1], k))
            x = begin_with(self.schedule.previous(x, plans, fresh, k), observations)
        step = torch.ones_like(x[:, :, 0, :1])
        values = nets.target.value(x, step)
        best = values.view(seeds, episodes, -1).argmax(-1)[..., None, None]
        first = nets.target.model(x, step)[:, :, 0, :actions]
        options: Tensor = first.view(seeds, episodes, -1, actions)
        return options.gather(2, best.expand(-1, -1, 1, actions)).squeeze(2)

    def _climb(self, nets: Networks, x: Tensor, k: int) -> Tensor:
        """A step up the value of x_k, in units of the variance of x_{k-1}."""
        step = torch.full_like(x[:, :, 0, :1], k)
        slope = torch.func.grad(lambda plans: nets.target.value(plans, step).sum())(x)
        climb: Tensor = self.config.guide_scale * self.schedule.variance(k) * slope
        return climb

    def _noisy(self, batch: Batch, noise: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """A batch's windows after a random number of diffusion steps, and that number."""
        plans = torch.cat([batch.actions, batch.observations], -1)
        step = self.schedule.pick(uniform)
        x = self.schedule.add_noise(plans, noise.view(plans.shape), step)
        return begin_with(x, batch.observations[:, :, 0]), step


def penalise_terminals(transitions: Transitions, penalty: float) -> Transitions:
    """The penalty added to the reward of every terminal step; 0: the same data."""
    over = transitions.terminals > 0
    if not penalty or not over.any():
        return transitions
    changed = replace(transitions, rows=transitions.rows.copy())
    changed.rewards[over] += penalty
    return changed
