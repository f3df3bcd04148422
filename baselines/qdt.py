"""QDT: a Decision Transformer of returns to go, raised where a value function promises more.

Paper: Yamagata et al., Q-learning Decision Transformer: Leveraging Dynamic Programming for
Conditional Sequence Modelling in Offline RL, arXiv:2209.03993.
Code: the first author's, takuyamagata/d3rlpy at 19794ff, `reproductions/offline/qdt.py`, and for
finite states takuyamagata/qdt_simple at 5d2f757.

Deviations:
    - Losses: the value function is learned by this package's `cql`, in whose backup the next action
      is sampled (official, d3rlpy: the mean's).
    - Losses: the transformer's is a mean over an action's dimensions, and over what is no padding
      (official: a sum over them; the mean counts padding, too, whose errors are left out or not,
      by the version of d3rlpy around that commit).
    - Losses: the temperature's is in log α (official: in α).
    - Update order: all losses of `cql` are stepped together (official: the critics, then the
      temperature and the policy).
    - Networks: the log σ of `cql` is scaled and shifted by learned numbers (official: not); the
      transformer is this package's `dt`, with the deviations listed there (official: d3rlpy's,
      whose padding was seen by attention until 2025, around that commit).
    - Initialisation: of `cql` as CORL's (official: as PyTorch's); the time embedding from N(0, 1)
      (official: N(0, 0.02²)).
    - Activation and norm: layer norms of the transformer add 1e-5 to the variance (official:
      0.003).
    - Observations: normalised (official: for the transformer alone).
    - Data: V(s), which raises returns, is the mean of Q over ten actions of the policy, as
      official, but their noise is the same for all states.
    - Data: an episode's last reward counts in the returns before it. Official: the recursion begins
      with 0 one step before the last, as if nothing were earned there.
    - Data: a window begins at a drawn step and is K long but where the episode ends; one that
      begins with the episode ends at a step drawn uniformly. Official: it ends at a drawn step and
      begins K − 1 before or with the episode, so that the episode's first steps are seen K times as
      often, and windows of its last K − 1 steps alone are not.
    - Data: an episode of one step is labelled as all others (official: by the numbers of the one
      that follows in the data, as if it were of it).
    - Data: a step at a time limit is left out of D4RL's files (official: likewise, but that its
      reward counts in one window); an episode that the end of a file cuts is kept (official: not).
    - Budget: the suite's, of which the two parts have shares (official: 5 · 10⁵ updates, then 10⁵).
    - Evaluation: for one target return, the best of the data unless a suite gives another
      (official: 6000 on HalfCheetah, 3600 on Hopper, 5000 on Walker2d, 250 to 400 on Maze2D).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from algorithms.base import (
    Algorithm,
    Batch,
    Column,
    History,
    Key,
    Loss,
    Networks,
    Noise,
    Phase,
    Stage,
    Uniform,
)
from algorithms.blocks.transformer import Transformer
from algorithms.fields import Count, LearningRate, Share, Weight, Widths
from algorithms.transitions import Floats, Transitions
from baselines.cql import CQL, CQLConfig
from baselines.dt import (
    DecisionTransformer,
    TargetConfig,
    act_for_target,
    action_error,
    transformer_optimizer,
)

_DRAWS = 10  # actions that V is averaged over


class QDTConfig(TargetConfig, CQLConfig):
    """QDT's settings, with the official code's values for Gym locomotion."""

    policy_learning_rate: LearningRate = 1e-4  # Adam, of CQL's policy and temperature
    alpha: Weight = 5.0  # CQL's weight of the conservative term
    value_share: Share = 5 / 6  # of the budget: CQL, whose V relabels the data for the rest of it
    block_dims: Widths = (512, 512, 512)  # hidden units of each block's MLP; as many blocks
    transformer_batch_size: Count = 64  # windows per update, at most the batch
    transformer_learning_rate: LearningRate = 1e-4  # AdamW


class QDT(CQL):
    """V by CQL, R̃_t = r_t + max(R̃_{t+1}, V(s_{t+1})), and a Decision Transformer of R̃."""

    Config = QDTConfig
    config: QDTConfig
    action_selection = Algorithm.action_selection

    def create(self) -> None:
        config = self.config
        super().create()
        (cql,) = self.stages[0].phases
        self.context, self.act_noise = config.context, {}
        self.networks["transformer"] = DecisionTransformer(
            self.obs_dim,
            self.action_dim,
            self.facts.longest_episode,
            Transformer(config.embedding_dim, config.block_dims, config.heads, config.dropout),
        )
        self.optimizers["transformer"] = transformer_optimizer(
            config, config.transformer_learning_rate
        )
        self.noise = {**self.noise, "dropout": Key(), "end": Uniform(1)}
        generator = torch.Generator().manual_seed(0)
        self.draws = torch.randn(_DRAWS, self.action_dim, generator=generator)
        imitation = Phase(self.transformer_loss, ("transformer",))
        relabelled = {"to_go": Column(self.value_after, relabel)}
        self.stages = (
            Stage((replace(cql, loss=self.value_loss),), config.value_share, act=self.act_by_cql),
            Stage((imitation,), 1 - config.value_share, columns=relabelled),
        )

    def value_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """CQL's, of the first transition of every window."""
        return self.loss(nets, batch.map(lambda field: field[:, :, 0]), noise)

    def value_after(self, nets: Networks, batch: Batch) -> Tensor:
        """V(s'), of the policy: the mean of both critics and of its actions. -> [S, B]."""
        observations = batch.next_observations
        mean, log_std = nets.actor(observations)
        draws = self.draws.to(observations.device)
        actions = (torch.tanh(mean + log_std.exp() * draw) for draw in draws)
        values = [nets.critic(observations, each).mean(1) for each in actions]
        return torch.stack(values).mean(0)

    def transformer_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        windows = self.config.transformer_batch_size
        batch = cut(batch, noise["end"]).map(lambda field: field[:, :windows])
        to_go = consistent(batch) / self.config.return_scale
        seen = (to_go, batch.observations, batch.actions, batch.steps)
        actions = nets.transformer(*seen, key=noise["dropout"])
        loss = action_error(actions, batch)
        return loss, {"transformer/loss": loss}

    def act_by_cql(self, nets: Networks, history: History, noise: Noise) -> Tensor:
        """Before the transformer is trained: the policy's mean."""
        return torch.tanh(nets.actor(history.observations[:, :, -1])[0])

    def act(self, nets: Networks, history: History, noise: Noise) -> Tensor:  # type: ignore[override]
        return act_for_target(nets.transformer, history, self.config, self.facts)


def relabel(next_values: Floats, transitions: Transitions, rewards: Floats) -> Floats:
    """R̃ of every transition, from V(s') and rewards. [S, N], [N] -> [S, N].

    The recursion unrolled: the most, over the steps k from t on, of what is earned up to k and V
    after it, which is 0 after an episode's last step.
    """
    relabelled = np.empty_like(next_values)
    for start, end in pairwise([0, *transitions.episode_ends()]):
        earned = np.cumsum(rewards[start:end], dtype=np.float64)
        after = next_values[:, start:end].astype(np.float64)
        after[:, -1] = 0
        best = np.maximum.accumulate((earned + after)[:, ::-1], 1)[:, ::-1]
        relabelled[:, start:end] = best - (earned - rewards[start:end])
    return relabelled


def cut(batch: Batch, uniform: Tensor) -> Batch:
    """Windows that begin with their episode, ended at a random step. uniform: [S, B, 1]."""
    length = batch.valid.sum(-1, keepdim=True)
    drawn = 1 + torch.floor(uniform * length)
    kept = torch.where(batch.steps[..., :1] == 0, drawn, length)
    ahead = torch.arange(batch.valid.shape[-1], device=uniform.device)
    return batch._replace(valid=(ahead < kept).float())


def consistent(batch: Batch) -> Tensor:
    """Returns to go that rewards explain: R̃ of a window's last step, and what is earned before it.

    -> [S, B, L].
    """
    earned = batch.rewards.cumsum(-1) - batch.rewards
    last = batch.valid.sum(-1, keepdim=True).long() - 1
    to_go = batch.columns["to_go"] + earned
    return (to_go.gather(-1, last) - earned) * batch.valid
