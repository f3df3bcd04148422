"""IDQL: IQL's critic, a diffusion model of the data's actions, and the best of its samples.

Paper: Hansen-Estruch et al., IDQL: Implicit Q-Learning as an Actor-Critic Method with Diffusion
Policies, arXiv:2304.10573.
Code: official, philippe-eecs/IDQL at 7582571, `jaxrl5/agents/ddpm_iql_simple/ddpm_iql_learner.py`,
`jaxrl5/networks/` and `launcher/examples/train_ddpm_iql_offline.py`.

Deviations:
    - Initialisation: Glorot uniform in the residual blocks as elsewhere (official: there LeCun
      normal).
    - Rewards: as they are. Official: on Gym locomotion scaled so that episodes' returns span 1000,
      which a suite asks for by `reward_transform: return-range`; 1 is subtracted on AntMaze.
    - Data: all of it (official: 5% of the transitions are held out, and actions are kept 1e-5
      inside ±1).
    - Data: online, batches are as large as before (official: 256, half of them the data's).
    - Budget: the suite's (official: 3 · 10⁶ updates, 50 episodes every 250 000).

What follows is as in the official code, and the paper differs:
    - The best of N samples acts, by the smaller target critic. The paper's implicit actor, which
      takes one of N in proportion to |τ − 1(Q < V)|, acts by `softmax-of-64`.
    - V sees observations that a layer norm has normalised, each by itself.
"""

from __future__ import annotations

import math

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
from algorithms.blocks.critics import expectile_loss
from algorithms.blocks.diffusion import diffusion_loss, sampling_noise, walk_back
from algorithms.blocks.noise_networks import LearnedWavesNetwork
from algorithms.fields import Count, Expectile, LearningRate, PolyakRate, Rate, Weight
from algorithms.initialisation import GLOROT
from algorithms.networks import MLP, Params, layer_norm, norm


class IDQLConfig(Config):
    """IDQL's settings, with the official code's values for Gym locomotion."""

    batch_size: Count = 512  # B, transitions per update
    normalize_observations: bool = False  # the networks see raw observations
    actor_dim: Count = 256  # width of the policy's residual network
    actor_blocks: Count = 3  # of that network
    dropout: Rate = 0.1  # of what enters a block
    actor_learning_rate: LearningRate = 3e-4  # AdamW; decays to 0 along a cosine
    weight_decay: Weight = 1e-4  # of AdamW
    critic_learning_rate: LearningRate = 3e-4  # Adam, Q and V
    expectile: Expectile = 0.7  # τ; 0.9 on AntMaze
    diffusion_steps: Count = 5  # T, steps from noise to action
    tau: PolyakRate = 0.005  # Polyak rate of the target critic
    ema: PolyakRate = 1e-3  # Polyak rate of the policy that acts


class NormalizedMLP(MLP):
    """An MLP behind a layer norm of its one input."""

    def init(self, generator: torch.Generator) -> Params:
        return super().init(generator) | norm("in", self.input_dim)

    def __call__(self, params: Params, *inputs: Tensor, key: Tensor | None = None) -> Tensor:
        return super().__call__(params, layer_norm(params, "in", inputs[0]), key=key)


class IDQL(Algorithm[IDQLConfig]):
    """V by expectile from Q̄, Q from V, and beside them a diffusion model of the data's actions."""

    Config = IDQLConfig
    action_selection = "best-of-64"
    selection_temperature = 1.0

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        hidden = config.hidden_dims
        self.networks = {
            "actor": LearnedWavesNetwork(
                obs, act, config.actor_dim, config.actor_blocks, config.dropout
            ),
            "value": NormalizedMLP(obs, 1, hidden, initialisation=GLOROT),
            "critic": MLP(obs + act, 1, hidden, ensemble=2, initialisation=GLOROT),
        }
        self.optimizers = {
            "actor": Adam(
                config.actor_learning_rate, cosine_decay=True, weight_decay=config.weight_decay
            ),
            "value": Adam(config.critic_learning_rate),
            "critic": Adam(config.critic_learning_rate),
        }
        self.targets = {"actor": config.ema, "critic": config.tau}
        dropout = {"dropout": Key()} if config.dropout else {}
        self.noise = {"epsilon": Normal(act), "step": Uniform(1), **dropout}
        self.act_noise = {"sample": sampling_noise(act, config.diffusion_steps)}
        phases = (
            Phase(self.actor_loss, ("actor",), updates_targets=("actor",)),
            Phase(self.value_loss, ("value",)),
            Phase(self.critic_loss, ("critic",), updates_targets=("critic",)),
        )
        self.stages = (Stage(phases),)

    def online_phases(self) -> tuple[Phase, ...]:
        """Only the critics go on, as officially."""
        return self.stages[0].phases[1:]

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """E |ε(s, x_k, k) − ε|², summed over dimensions."""
        key = noise.get("dropout")
        loss = self.action_dim * diffusion_loss(
            lambda *inputs: nets.actor(*inputs, key=key),
            batch.observations,
            batch.actions,
            noise["epsilon"],
            noise["step"],
            self.config.diffusion_steps,
        )
        return loss, {"actor/bc_loss": loss}

    def value_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """V regresses, by expectile, on min_i Q̄_i(s, a) of the data's actions."""
        q = nets.target.critic(batch.observations, batch.actions).amin(1)
        value = nets.value(batch.observations)
        loss = expectile_loss(q - value, self.config.expectile).mean(-1)
        return loss, {"value/loss": loss, "value/mean": value.mean(-1)}

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Twins regress on r + γ V(s'), V as the update has left it."""
        next_value = nets.frozen.value(batch.next_observations)
        backup = batch.rewards + self.config.discount * batch.masks * next_value
        q = nets.critic(batch.observations, batch.actions)
        loss = (q - backup.unsqueeze(1)).square().mean((1, 2))
        return loss, {"critic/loss": loss, "critic/mean": q.mean((1, 2))}

    def action_value(self, nets: Networks, observations: Tensor, actions: Tensor) -> Tensor:
        q: Tensor = nets.target.critic(observations, actions)
        return q.amin(1)

    def softmax_value(self, nets: Networks, observations: Tensor, actions: Tensor) -> Tensor:
        """log |τ − 1(Q < V)|, the weight of the implicit actor."""
        better = self.action_value(nets, observations, actions) > nets.value(observations)
        expectile = self.config.expectile
        return torch.where(better, math.log(expectile), math.log(1 - expectile))

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        steps = self.config.diffusion_steps
        draws = noise["sample"]
        actions, _ = walk_back(
            nets.target.actor, observations, draws, steps, variance="added", clip="point"
        )
        return actions
