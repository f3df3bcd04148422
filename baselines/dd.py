"""Decision Diffuser: a diffusion model of states to come, conditioned on what they are to earn.

Paper: Ajay et al., Is Conditional Generative Modeling All You Need for Decision-Making?,
arXiv:2211.15657.
Code: official, anuragajay/decision-diffuser at 01ce528, `code/config/locomotion_config.py` and
`code/diffuser/`.

A decision costs: the plan goes `diffusion_steps` times in a row through the U-Net, with its return
and without. On Hopper that is 400 passes, some 1.3 TFLOP a step of an episode, and 13 PFLOP for ten
full episodes. Beyond trials, it needs a GPU.

Deviations:
    - Targets: the averages that plan move by 0.0005 in every update. Official: by 0.005 in every
      tenth, the same in the long run, and they are the weights themselves during the first 2000.
    - Observations: made uniform on [-1, 1] by `quantiles` equal shares of the data (official: by
      every number in it).
    - Data: actions are learned as they are (official: made uniform like observations).
    - Data: windows begin at an episode's last step, too, and at any step of long episodes
      (official: not in the last 100 of 1000). They are drawn with replacement (official: passes).
      An episode that the end of a file cuts is kept (official: not).
    - Data: returns count what follows a time limit at the data's mean reward, penalties of
      terminal steps included (official: 0), and a step at a time limit is left out of D4RL's files
      (official: not).
    - Budget: the suite's (official: 10⁶ updates, 10 episodes).

The paper plans with 100 diffusion steps, from the last 20 states, and chooses w between 1.2 and 1.8
by task; the code has one setting, that of hopper-medium-expert, which the defaults follow.
"""

from __future__ import annotations

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
from algorithms.blocks.temporal_unet import TemporalUNet
from algorithms.fields import (
    Channels,
    Count,
    Fraction,
    LearningRate,
    Number,
    PolyakRate,
    Positive,
    Weight,
    Widths,
)
from algorithms.networks import MLP
from algorithms.transitions import Transitions
from baselines.diffuser import penalise_terminals
from baselines.tt import Edges


class DDConfig(Config):
    """Decision Diffuser's settings, with the official code's values for hopper-medium-expert."""

    hidden_dims: Channels = (128, 512, 1024)  # channels at each resolution
    batch_size: Count = 64  # B, windows per update; official: two halves, their gradients averaged
    normalize_observations: bool = False  # they are made uniform instead
    horizon: Annotated[int, Field(ge=2)] = 100  # H, steps of a window and of a plan
    diffusion_steps: Count = 200  # K, steps from noise to plan
    quantiles: Count = 1000  # parts of equal shares by which observations are made uniform
    inverse_hidden_dims: Widths = (256, 256)  # width of the inverse dynamics' hidden layers
    return_scale: Positive = 400.0  # what returns are divided by; the data's best, so that it is 1
    return_dropout: Fraction = 0.25  # p, share of windows learned without their return
    target_return: Number = 0.9  # R(τ) to act for, in units of the scale
    guidance: Weight = 1.2  # w: ε without return + w (ε with it − ε without)
    temperature: Weight = 0.5  # α: factor on all noise of a plan
    termination_penalty: Number = -100.0  # added to the reward of a terminal step
    learning_rate: LearningRate = 2e-4  # Adam, all networks
    ema: PolyakRate = 5e-4  # Polyak rate of the weights that plan


class DD(Algorithm[DDConfig]):
    """min E |ε − ε_θ(x_k(τ), β R(τ), k)|² + |a − f_φ(s, s')|²; acts by f_φ of a plan."""

    Config = DDConfig
    cheap: ClassVar = {"hidden_dims": (16, 16), "horizon": 2, "diffusion_steps": 3}
    trained_together = (("model", "returns"),)  # the model is given the embedded return

    @classmethod
    def select(cls, config: DDConfig, transitions: Transitions) -> Transitions:
        """All data, with the penalty on each terminal step."""
        return penalise_terminals(transitions, config.termination_penalty)

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.context = config.horizon
        self.schedule = CosineSchedule(config.diffusion_steps)
        edges = torch.from_numpy(self.facts.quantiles(config.quantiles))
        width = config.hidden_dims[0]
        self.networks = {
            "model": TemporalUNet(obs, config.hidden_dims, width),
            "returns": MLP(1, width, (width, 4 * width), activation="mish"),
            "inverse": MLP(2 * obs, act, config.inverse_hidden_dims),
            "edges": Edges(edges.expand(-1, obs + act + 2)[:, :obs].contiguous()),
        }
        trained = ("model", "returns", "inverse")
        self.optimizers = {name: Adam(config.learning_rate) for name in trained}
        self.targets = dict.fromkeys(trained, config.ema)
        plan = config.horizon * obs
        self.noise = {"epsilon": Normal(plan), "step": Uniform(1), "return": Uniform(1)}
        self.act_noise = {"plan": Normal(config.diffusion_steps * plan)}
        planner = ("model", "returns")
        model = Phase(self.model_loss, planner, updates_targets=planner)
        inverse = Phase(self.inverse_loss, ("inverse",), updates_targets=("inverse",))
        self.stages = (Stage((model, inverse)),)

    def model_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Half the error of the noise in the states after the first, which is known."""
        config = self.config
        states = uniform(batch.observations, nets.frozen.edges())
        step, fresh = self.schedule.pick(noise["step"]), noise["epsilon"].view(states.shape)
        x = begin_with(self.schedule.add_noise(states, fresh, step), states[:, :, 0])
        known = noise["return"] >= config.return_dropout
        returns = batch.returns[:, :, :1] / config.return_scale
        found = nets.model(x, step, known * nets.returns(returns))
        error = (found - fresh)[:, :, 1:].square().sum((2, 3)) / states[0, 0].numel()
        loss = 0.5 * error.mean(1)
        return loss, {"model/loss": loss, "returns/loss": loss}

    def inverse_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Half the error of the action between each two states of a window."""
        states = uniform(batch.observations, nets.frozen.edges())
        pairs = torch.cat([states[:, :, :-1], states[:, :, 1:]], -1).flatten(1, 2)
        actions = batch.actions[:, :, :-1].flatten(1, 2)
        loss = 0.5 * (nets.inverse(pairs) - actions).square().mean((1, 2))
        return loss, {"inverse/loss": loss}

    def act(self, nets: Networks, history: History, noise: Noise) -> Tensor:
        config, schedule, target = self.config, self.schedule, nets.target
        state = uniform(history.observations[:, :, -1:], nets.edges()).squeeze(2)
        wanted = target.returns(torch.full_like(state[..., :1], config.target_return))
        shape = (*state.shape[:2], config.diffusion_steps, config.horizon, self.obs_dim)
        start, *added = (config.temperature * noise["plan"]).view(shape).unbind(2)
        x = begin_with(start, state)
        for k, fresh in zip(
            range(config.diffusion_steps, 0, -1), (*added, torch.zeros_like(x)), strict=True
        ):
            step = torch.full_like(state[..., :1], k)
            free = target.model(x, step, torch.zeros_like(wanted))
            epsilon = free + config.guidance * (target.model(x, step, wanted) - free)
            plan = schedule.predicted(x, epsilon, k).clamp(-1, 1)
            x = begin_with(schedule.previous(x, plan, fresh, k), state)
        actions: Tensor = target.inverse(x[:, :, 0], x[:, :, 1])
        return actions


def uniform(numbers: Tensor, edges: Tensor) -> Tensor:
    """Each by the share of the data that is not above it, from -1 to 1 (official: CDFNormalizer).

    numbers [S, B, L, D], edges [S, N + 1, D], which hold equal shares between them -> as numbers.
    """
    x, limits = numbers.flatten(1, 2).mT.contiguous(), edges.mT.contiguous()
    parts = limits.shape[-1] - 1
    above = torch.searchsorted(limits, x, right=True).clamp(1, parts)
    low, high = limits.gather(-1, above - 1), limits.gather(-1, above)
    within = torch.where(x >= high, 1.0, (x - low) / (high - low)).clamp(0, 1)
    share = (above - 1 + within) / parts
    return (2 * share - 1).mT.reshape(numbers.shape)
