"""QT: a Decision Transformer that climbs Q as well, and acts by the critic's choice of returns.

Paper: Hu et al., Q-value Regularized Transformer for Offline Reinforcement Learning,
arXiv:2405.17098.
Code: official, charleshsc/QT at cb9e1a4, `decision_transformer/training/ql_trainer.py`,
`decision_transformer/models/ql_DT.py` and `run.sh`.

Deviations:
    - Losses: where a window's last step ends the episode for good, its reward counts in the
      targets, and Q is learned there. Official: neither.
    - Losses: the actor's Q term is the mean over which twin is climbed and which one scales it.
      Official: a coin decides in every update.
    - Losses: weight decay is AdamW's. Official: the same decay as a term of the gradient, which
      Adam then scales.
    - Targets: the average transformer, which backups use, moves by 0.001 in every update. Official:
      by 0.005 in every fifth, the same in the long run, and not at all during the first 1000.
    - Networks: the time embedding has an entry for each step of the data's longest episode
      (official: 1000).
    - Schedule: the learning rates decay in every update, over the suite's budget (official: after
      every 1000, over 5 · 10⁵; on halfcheetah/medium-expert after every 10⁴, over 10⁵).
    - Observations: divided by their standard deviation + 1e-3 (official: + 1e-6).
    - Data: windows that an episode's end cuts short are filled up behind (official: in front, and
      masked; on hopper's medium, medium-replay and medium-expert data it draws none of them).
    - Data: a step at a time limit is left out of D4RL's files, and its reward of the returns to go
      (official: neither); an episode that the end of a file cuts is kept (official: not).
    - Budget: the suite's. Official: of the 5 · 10⁵ updates of the decay the first 31 000 to 101 000
      by task, but on halfcheetah/medium-expert all 10⁵; 10 episodes every 1000.
    - Selection: the last policy (official: the best evaluation).
    - Evaluation: one target, the data's best return, unless a suite gives more (official: two to
      seven). Candidates that the targets do not divide evenly go to targets (official: the rest
      asks for standard normal returns).
    - Evaluation: no last candidate whose return to go is the Q of the step before, less its scaled
      reward (official: one of 50, in other units than the rest).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from algorithms.base import (
    Adam,
    Algorithm,
    Batch,
    Column,
    History,
    Key,
    Loss,
    Networks,
    Noise,
    Normal,
    Phase,
    Stage,
    Uniform,
)
from algorithms.blocks.transformer import Transformer
from algorithms.fields import Count, LearningRate, Number, PolyakRate, Positive, Weight, Widths
from algorithms.initialisation import PYTORCH
from algorithms.networks import MLP, Params, linear
from algorithms.transitions import Floats, Transitions
from baselines.dt import DecisionTransformer, SequenceConfig, action_error

Targets = Annotated[tuple[Number, ...], Field(min_length=1)]

_RETURN_NOISE = 0.1  # of candidates' returns to go, in units of `return_scale`
_SMALLEST = 1e-30  # of uniform noise, for its logarithm


class QTConfig(SequenceConfig):
    """QT's settings, with the official code's values for Gym locomotion."""

    hidden_dims: Widths = (256, 256, 256)  # width of the critics' hidden layers
    block_dims: Widths = (
        1024,
        1024,
        1024,
        1024,
    )  # hidden units of each block's MLP; as many blocks
    embedding_dim: Count = 256  # width of a token
    heads: Count = 4  # of attention; they divide the width
    learning_rate: LearningRate = 3e-4  # AdamW of the transformer and Adam of the critics; decays
    max_grad_norm: Positive = 9.0  # of each network; 15 on halfcheetah, 5 on walker2d
    eta: Weight = 1.0  # η: weight of the normalised Q; 0.4 to 5 on Gym
    tau: PolyakRate = 0.005  # Polyak rate of the target critics
    ema: PolyakRate = 1e-3  # Polyak rate of the transformer that backups use
    target_returns: Targets | None = None  # of an episode, to act for; null: the best of the data
    candidates: Count = 50  # actions for these returns, of which the critic chooses


class StateTransformer(DecisionTransformer):
    """A Decision Transformer that reads the next state where a_t stands.

    It returns actions `[S, B, L, action_dim]` and next states `[S, B, L, obs_dim]`.
    """

    def init(self, generator: torch.Generator) -> Params:
        params = super().init(generator)
        fans = (self.transformer.width, self.obs_dim)
        weight, bias = PYTORCH.layer(1, *fans, generator, last=False)
        return params | {"weight_next": weight, "bias_next": bias}

    def __call__(
        self, params: Params, *inputs: Tensor, key: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        found = self.read(params, *inputs, key=key)
        following = linear(params, "next", found[:, :, :, 2].flatten(1, 2))
        return self.actions(params, found), following.view(*found.shape[:3], self.obs_dim)


class QT(Algorithm[QTConfig]):
    """min_π E |π(R, s, a) − a|² + |ŝ' − s'|² − η E Q(s, π) / E |Q|, Q by n-step returns."""

    Config = QTConfig

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.context = config.context
        dims = (config.embedding_dim, config.block_dims, config.heads, config.dropout)
        self.networks = {
            "actor": StateTransformer(obs, act, self.facts.longest_episode, Transformer(*dims)),
            "critic": MLP(obs + act, 1, config.hidden_dims, ensemble=2, activation="mish"),
        }
        rate, bound = config.learning_rate, config.max_grad_norm
        self.optimizers = {
            "actor": Adam(
                rate, cosine_decay=True, max_grad_norm=bound, weight_decay=config.weight_decay
            ),
            "critic": Adam(rate, cosine_decay=True, max_grad_norm=bound),
        }
        self.targets = {"actor": config.ema, "critic": config.tau}
        self.noise = {"target_dropout": Key(), "dropout": Key()}
        self.act_noise = {
            "returns": Normal(config.candidates),
            "choice": Uniform(config.candidates),
        }
        critic = Phase(self.critic_loss, ("critic",), updates_targets=("critic",))
        actor = Phase(self.actor_loss, ("actor",), updates_targets=("actor",))
        to_go = {"to_go": Column(lambda _, batch: batch.rewards, undiscounted)}
        self.stages = (Stage((critic, actor), columns=to_go),)

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Twins regress on what a window earns from a step to its last, and min_i Q̄_i there."""
        length = batch.valid.sum(-1, keepdim=True)
        ahead = torch.arange(batch.valid.shape[-1], device=length.device)
        last = (ahead == length - 1).float()  # [S, B, L]
        actions, _ = nets.target.actor(*self.seen(batch), key=noise["target_dropout"])
        states, actions = ((x * last.unsqueeze(-1)).sum(2) for x in (batch.observations, actions))
        bootstrap = nets.target.critic(states, actions).amin(1).unsqueeze(-1)
        goes_on = last * batch.masks
        worth = torch.where(goes_on > 0, bootstrap, batch.rewards)
        between = ahead - ahead.unsqueeze(-1)  # [L, L], from a step to another
        discounts = (self.config.discount ** between.clamp(min=0)).triu()
        target = (worth.unsqueeze(2) * discounts).sum(-1)
        q = _of_steps(nets.critic, batch.observations, batch.actions)
        learned = (batch.valid - goes_on).unsqueeze(1)
        errors = (q - target.unsqueeze(1)).square() * learned
        loss = errors.sum((1, 2, 3)) / learned.sum((1, 2, 3)).clamp(min=1)
        return loss, {"critic/loss": loss, "critic/mean": _mean(q, batch.valid).mean(1)}

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        actions, following = nets.actor(*self.seen(batch), key=noise["dropout"])
        error = (following[:, :, :-1] - batch.observations[:, :, 1:]).square().mean(-1)
        there = batch.valid[:, :, 1:]
        state_loss = (error * there).sum((1, 2)) / there.sum((1, 2)).clamp(min=1)
        bc_loss = action_error(actions, batch) + state_loss
        q = _of_steps(nets.frozen.critic, batch.observations, actions)
        scale = _mean(q.abs(), batch.valid).detach().flip(1)  # each twin by the other's size
        q_loss = -(_mean(q, batch.valid) / scale).mean(1)
        loss = bc_loss + self.config.eta * q_loss
        metrics = {"actor/bc_loss": bc_loss, "actor/state_loss": state_loss}
        return loss, {**metrics, "actor/q_loss": q_loss}

    def seen(self, batch: Batch) -> tuple[Tensor, ...]:
        """What the transformer is given."""
        to_go = batch.columns["to_go"] / self.config.return_scale
        return to_go, batch.observations, batch.actions, batch.steps

    def act(self, nets: Networks, history: History, noise: Noise) -> Tensor:
        """One of the candidates' actions, by the softmax of their Q̄."""
        count = self.config.candidates
        targets = self.config.target_returns or (self.facts.best_return,)
        each = [targets[i * len(targets) // count] for i in range(count)]
        aims = torch.tensor(each, device=history.earned.device).view(-1, 1)
        to_go = (aims - history.earned.unsqueeze(2)) / self.config.return_scale  # [S, E, N, l]
        others = torch.arange(count, device=aims.device) >= len(targets)
        to_go[..., -1] += _RETURN_NOISE * noise["returns"] * others
        inputs = (history.observations, history.actions, history.steps)
        observations, *rest = (x.repeat_interleave(count, 1) for x in inputs)
        actions = nets.actor(to_go.flatten(1, 2), observations, *rest)[0][:, :, -1]
        q = nets.target.critic(observations[:, :, -1], actions).amin(1).unflatten(1, (-1, count))
        # The largest after Gumbel noise has a softmax's distribution; without, the largest Q.
        gumbel = -torch.log(-torch.log(noise["choice"].clamp(min=_SMALLEST)))
        chosen = (q + gumbel).argmax(-1)[..., None, None]
        options: Tensor = actions.unflatten(1, (-1, count))
        return torch.take_along_dim(options, chosen, 2).squeeze(2)


def undiscounted(values: Floats, transitions: Transitions, rewards: Floats) -> Floats:
    """Returns to go with γ = 1, the same for every seed. [S, N], [N] -> [S, N]."""
    return np.tile(transitions.returns(1.0, rewards), (len(values), 1))


def _of_steps(critic: Callable[..., Tensor], observations: Tensor, actions: Tensor) -> Tensor:
    """Q of every step of windows. [S, B, L, ·] -> [S, E, B, L]."""
    q = critic(observations.flatten(1, 2), actions.flatten(1, 2))
    return q.view(*q.shape[:2], *actions.shape[1:3])


def _mean(q: Tensor, valid: Tensor) -> Tensor:
    """Over the steps that are there. [S, E, B, L], [S, B, L] -> [S, E]."""
    there = valid.unsqueeze(1)
    return (q * there).sum((2, 3)) / there.sum((2, 3))
