"""Decision Transformer: actions predicted from returns to go, states and actions before them.

Paper: Chen et al., Decision Transformer: Reinforcement Learning via Sequence Modeling,
arXiv:2106.01345.
Code: official, kzl/decision-transformer at e2d82e6, `gym/experiment.py`.

Deviations:
    - Networks: the time embedding has an entry for each step of the data's longest episode
      (official: 1000), and later steps share the last one.
    - Networks: no layers that predict states and returns: the official loss trains neither.
    - Observations: divided by their standard deviation + 1e-3 (official: + 1e-6).
    - Data: windows that an episode's end cuts short are filled up behind, where no step sees it
      (official: in front, and masked).
    - Data: a step at a time limit is left out of D4RL's files, and its reward of the returns to go
      (official: neither); an episode that the end of a file cuts is kept (official: not).
    - Budget: the suite's (official: 10⁵ updates, 100 episodes every 10⁴).
    - Evaluation: for one target return, the data's best unless a suite gives another. Official: for
      two per environment in turn (3600 and 1800 on Hopper, 12000 and 6000 on HalfCheetah, 5000 and
      2500 on Walker2d).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field, model_validator
from torch import Tensor

from algorithms.base import (
    Adam,
    Algorithm,
    Batch,
    Config,
    History,
    Key,
    Loss,
    Networks,
    Noise,
    Phase,
    Stage,
)
from algorithms.blocks.transformer import Transformer, heads_divide_the_width
from algorithms.dropout import dropout
from algorithms.fields import Count, LearningRate, Number, Positive, Rate, Weight, Widths
from algorithms.initialisation import PYTORCH
from algorithms.networks import Params, bank, layer_norm, linear, norm, product
from algorithms.transitions import Facts


class SequenceConfig(Config):
    """What methods that learn from windows by a Decision Transformer set."""

    context: Count = 20  # K, steps that it sees
    embedding_dim: Count = 128  # width of a token
    heads: Count = 1  # of attention; they divide the width
    dropout: Rate = 0.1  # of embeddings, attention weights and residuals
    weight_decay: Weight = 1e-4  # of AdamW, on every parameter of the transformer
    return_scale: Positive = 1000.0  # what returns to go are divided by

    _heads_divide = model_validator(mode="after")(heads_divide_the_width)


class TargetConfig(SequenceConfig):
    """What methods that act for one return set as well, and how Decision Transformer is trained."""

    warmup_steps: Count = 10_000  # updates over which the learning rate rises
    max_grad_norm: Positive = 0.25  # bound of the gradient
    target_return: Number | None = None  # of an episode, to act for; null: the best of the data


class DTConfig(TargetConfig):
    """Decision Transformer's settings, with the official code's values for Gym locomotion."""

    hidden_dims: Widths = (512, 512, 512)  # hidden units of each block's MLP; as many blocks
    batch_size: Count = 64  # B, windows per update
    discount: Annotated[float, Field(ge=1, le=1)] = 1.0  # returns to go are undiscounted
    learning_rate: LearningRate = 1e-4  # AdamW


@dataclass(frozen=True)
class DecisionTransformer:
    """Tokens R_t, s_t, a_t of every step, with its time; a_t is read where s_t stands.

    Called with returns to go `[S, B, L]`, observations and actions `[S, B, L, ·]`, and steps
    `[S, B, L]`, it returns actions `[S, B, L, action_dim]`.
    """

    obs_dim: int
    action_dim: int
    episode_length: int
    transformer: Transformer

    def init(self, generator: torch.Generator) -> Params:
        """PyTorch's for what is around the transformer: linear layers and, N(0, 1), embeddings."""
        width = self.transformer.width
        params = self.transformer.init(generator) | norm("tokens", width)
        for name, fan_in, fan_out in (
            ("return", 1, width),
            ("state", self.obs_dim, width),
            ("action", self.action_dim, width),
            ("head", width, self.action_dim),
        ):
            params[f"weight_{name}"], params[f"bias_{name}"] = PYTORCH.layer(
                1, fan_in, fan_out, generator, last=False
            )
        times = torch.randn(1, self.episode_length, width, generator=generator)
        return params | {"times": times}

    def __call__(self, params: Params, *inputs: Tensor, key: Tensor | None = None) -> Any:
        return self.actions(params, self.read(params, *inputs, key=key))

    def read(self, params: Params, *inputs: Tensor, key: Tensor | None = None) -> Tensor:
        """What the transformer makes of the tokens. -> [S, B, L, 3, D], of R_t, s_t and a_t."""
        to_go, observations, actions, steps = inputs
        seeds, batch, length = steps.shape
        # A product, as the gradient of a look-up sums in no fixed order on GPUs.
        index = steps.clamp(max=self.episode_length - 1).view(seeds, -1, 1)
        one_hot = index == torch.arange(self.episode_length, device=steps.device)
        time = product(one_hot.float(), bank(params, "times"))
        kinds = (("return", to_go.unsqueeze(-1)), ("state", observations), ("action", actions))
        tokens = torch.stack(
            [linear(params, name, x.flatten(1, 2)) + time for name, x in kinds], 2
        ).flatten(1, 2)  # [S, B * 3L, D]
        tokens = layer_norm(params, "tokens", tokens, 1e-5)
        tokens = dropout(tokens, key, self.transformer.sites, self.transformer.dropout)
        tokens = tokens.view(seeds, batch, 3 * length, -1)
        return self.transformer(params, tokens, key=key).view(seeds, batch, length, 3, -1)

    def actions(self, params: Params, found: Tensor) -> Tensor:
        """Of what `read` returned: [S, B, L, action_dim]."""
        at_states = found[:, :, :, 1].flatten(1, 2)
        actions = torch.tanh(linear(params, "head", at_states))
        return actions.view(*found.shape[:3], self.action_dim)


class DT(Algorithm[DTConfig]):
    """min_π E |π(R_1, s_1, a_1, …, R_t, s_t) − a_t|² over windows of the data."""

    Config = DTConfig

    def create(self) -> None:
        config = self.config
        self.context = config.context
        transformer = Transformer(
            config.embedding_dim, config.hidden_dims, config.heads, config.dropout
        )
        self.networks = {
            "actor": DecisionTransformer(
                self.obs_dim, self.action_dim, self.facts.longest_episode, transformer
            )
        }
        self.optimizers = {"actor": transformer_optimizer(config, config.learning_rate)}
        self.noise = {"dropout": Key()}
        self.stages = (Stage((Phase(self.loss, ("actor",)),)),)

    def loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        seen = (batch.returns / self.config.return_scale, batch.observations, batch.actions)
        actions = nets.actor(*seen, batch.steps, key=noise["dropout"])
        loss = action_error(actions, batch)
        return loss, {"actor/loss": loss}

    def act(self, nets: Networks, history: History, noise: Noise) -> Tensor:
        return act_for_target(nets.actor, history, self.config, self.facts)


def transformer_optimizer(config: TargetConfig, learning_rate: float) -> Adam:
    """Decision Transformer's: AdamW with a warm-up and clipped gradients."""
    return Adam(
        learning_rate,
        max_grad_norm=config.max_grad_norm,
        weight_decay=config.weight_decay,
        warmup=config.warmup_steps,
    )


def action_error(actions: Tensor, batch: Batch) -> Tensor:
    """Mean squared error over the steps that are there. [S, B, L, action_dim] -> [S]."""
    error = (actions - batch.actions).square().mean(-1)
    return (error * batch.valid).sum((1, 2)) / batch.valid.sum((1, 2))


def act_for_target(
    actor: Callable[..., Tensor], history: History, config: TargetConfig, facts: Facts
) -> Tensor:
    """The action for what is left of the target return. -> [S, E, action_dim]."""
    target = facts.best_return if config.target_return is None else config.target_return
    to_go = (target - history.earned) / config.return_scale
    return actor(to_go, history.observations, history.actions, history.steps)[:, :, -1]
