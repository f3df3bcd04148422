"""SfBC: a diffusion model of the data's actions, and of its samples one by the softmax of Q.

Paper: Chen et al., Offline Reinforcement Learning via High-Fidelity Generative Behavior Modeling,
arXiv:2209.14548.
Code: official, ChenDRAG/SfBC at d384e9f, `train_behavior.py`, `train_critic.py`,
`dataset/dataset.py`, `diffusion_SDE/model.py` and `utils.py`.

Q is fitted to the returns of the data. Then, round by round, these are planned anew, wherever the
policy by that Q promises more than what the episode goes on to earn, and Q is fitted to them.

Deviations:
    - Losses: times begin at 0.001 (official: at 1e-5).
    - Targets: plans are made of, and actions drawn by, DPM-Solver-2 on predicted actions. Official:
      by DPM-Solver-3 on predicted noise, with as many evaluations.
    - Networks: the frequencies of the time's features are the quantiles of |N(0, 30²)| (official:
      drawn once).
    - Schedule: Adam goes on where Q begins a round anew (official: Adam begins anew too).
    - Clipping: candidates are clipped to ±1 before Q chooses of them to act (official: not).
    - Data: the candidates of all states begin with the same 16 draws of noise, in every round.
      Official: each state has its own, for all rounds.
    - Data: a step at a time limit is left out of D4RL's files (official: not, but on AntMaze).
    - Data: on Maze2D an episode ends where the controller's goal changes, and returns and plans
      with it (official: all of the data are one episode).
    - Data: batches are drawn with replacement (official: in passes over the data).
    - Budget: the suite's, in the official proportions (official: 5.9 · 10⁵ updates of the
      behaviour, then 24 500 a round; 10 episodes every 1200).
    - Evaluation: one of 32 candidates acts (official: on Gym locomotion the mean of four of them,
      drawn without replacement).

The paper plans R_t = r_t + γ max(R_{t+1}, V_{t+1}). Its code, which this file follows, compares
with the promise V_t of the same state instead: every action after which the episode earned less
than the policy promises counts as that promise, so that Q no longer tells such actions apart.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from algorithms.base import (
    Adam,
    Algorithm,
    Batch,
    Column,
    Config,
    Loss,
    Networks,
    Noise,
    Normal,
    Phase,
    Stage,
    Uniform,
)
from algorithms.blocks.score_networks import ScoreUNet
from algorithms.blocks.vp_sde import denoising_loss, sample
from algorithms.fields import Count, LearningRate, Positive, Share, Weight, Widths
from algorithms.transitions import Floats, Transitions
from baselines.onestep import Critic

_SMALLEST_SCALE = 0.1  # that returns are divided by


class SfBCConfig(Config):
    """SfBC's settings, with the official code's values for Gym locomotion."""

    hidden_dims: Widths = (256, 256)  # hidden layers of Q; on AntMaze large 512, 256, 256
    behavior_dims: Widths = (512, 256, 128)  # widths of the behaviour's narrowing blocks
    batch_size: Count = 4096  # B, transitions per update
    normalize_observations: bool = False  # the networks see raw observations
    behavior_share: Share = 0.92  # of the budget, in which the behaviour learns
    behavior_learning_rate: LearningRate = 1e-4  # Adam
    critic_learning_rate: LearningRate = 1e-3  # Adam
    rounds: Count = 2  # K: fits of Q, with planning before each but the first
    planning_candidates: Count = 16  # M, samples of the behaviour that a state is planned with
    planning_alpha: Weight = 20.0  # α of their softmax, by normalised Q
    alpha: Positive = 100.0  # α of the softmax by which the policy acts
    diffusion_steps: Count = 15  # evaluations of the behaviour in a sample


class SfBC(Algorithm[SfBCConfig]):
    """π(a | s) ∝ μ(a | s) exp(α Q(s, a)), with a Q of planned returns."""

    Config = SfBCConfig
    action_selection = "softmax-of-32"

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.selection_temperature = 1 / config.alpha
        critics = ("critic", "initial_critic", "previous_critic")
        self.networks = {
            "behavior": ScoreUNet(obs, act, config.behavior_dims),
            **dict.fromkeys(critics, Critic(obs + act, 1, config.hidden_dims, activation="silu")),
        }
        self.optimizers = {
            "behavior": Adam(config.behavior_learning_rate),
            "critic": Adam(config.critic_learning_rate),
        }
        self.targets = {"critic": 1.0, "initial_critic": 1.0}  # 1: themselves, to copy from
        self.noise = {"epsilon": Normal(act), "time": Uniform(1)}
        self.act_noise = {"start": Normal(act)}
        generator = torch.Generator().manual_seed(0)
        self.draws = torch.randn(config.planning_candidates, act, generator=generator)
        clone = Phase(self.behavior_loss, ("behavior",))
        if config.known_q:
            self.stages = (Stage((clone,)),)
            return
        share = config.behavior_share
        fit = Stage(
            (Phase(self.critic_loss, ("critic",), updates_targets=("critic",)),),
            (1 - share) / config.rounds,
            # In this order: what was fitted is kept, and fitting begins anew.
            copies={"previous_critic": "critic", "critic": "initial_critic"},
        )
        self.stages = (
            Stage((clone,), share),
            replace(fit, columns=with_units(Column(_nothing, self.plan))),
            *[replace(fit, columns=with_units(Column(self.promise, self.plan)))]
            * (config.rounds - 1),
        )

    def behavior_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        loss = denoising_loss(
            nets.behavior, batch.observations, batch.actions, noise["epsilon"], noise["time"]
        )
        return loss, {"behavior/loss": loss}

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Q regresses on the planned returns, of mean 0 and deviation 1 over the data."""
        returns, mean, scale = (batch.columns[name] for name in ("returns", "mean", "scale"))
        q = nets.critic(batch.observations, batch.actions)[:, 0]
        loss = (q - (returns - mean) / scale).square().mean(-1)
        return loss, {"critic/loss": loss, "critic/mean": q.mean(-1)}

    def promise(self, nets: Networks, batch: Batch) -> Tensor:
        """Σ_m softmax_m(α Q) Q of the behaviour's samples a_m, in units of returns. -> [S, B]."""
        count = len(self.draws)
        observations = batch.observations.repeat_interleave(count, 1)
        draws = self.draws.to(observations.device).repeat(batch.observations.shape[1], 1)
        actions = self.sample(nets, observations, draws.expand(len(observations), -1, -1))
        q: Tensor = nets.previous_critic(observations, actions)[:, 0].unflatten(-1, (-1, count))
        value: Tensor = (torch.softmax(self.config.planning_alpha * q, -1) * q).sum(-1)
        return batch.columns["mean"] + batch.columns["scale"] * value

    def plan(self, values: Floats, transitions: Transitions, rewards: Floats) -> Floats:
        """R_t = max(r_t + γ R_{t+1}, value_t), nothing beyond an episode's end. [S, N], [N]."""
        goes_on = np.full(len(rewards), self.config.discount)
        goes_on[transitions.episode_ends() - 1] = 0.0
        returns, to_go = np.empty_like(values), np.zeros(len(values))
        for row in range(len(rewards) - 1, -1, -1):
            to_go = np.maximum(rewards[row] + goes_on[row] * to_go, values[:, row])
            returns[:, row] = to_go
        return returns

    def sample(self, nets: Networks, observations: Tensor, start: Tensor) -> Tensor:
        """Actions of the behaviour, from noise. [S, B, action_dim] -> the same."""
        return sample(nets.behavior, observations, start, self.config.diffusion_steps)

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        return self.sample(nets, observations, noise["start"])


def with_units(returns: Column) -> dict[str, Column]:
    """The returns, and their mean and deviation over the data, the same for every transition."""

    def again(_nets: Networks, batch: Batch) -> Tensor:
        return batch.columns["returns"]

    return {
        "returns": returns,
        "mean": Column(again, lambda found, *_: _everywhere(found.mean(1), found)),
        "scale": Column(
            again, lambda found, *_: _everywhere(found.std(1).clip(min=_SMALLEST_SCALE), found)
        ),
    }


def _nothing(_nets: Networks, batch: Batch) -> Tensor:
    """No policy promises anything yet."""
    return torch.full_like(batch.rewards, -torch.inf)


def _everywhere(of_seeds: Floats, like: Floats) -> Floats:
    """A number of each seed for all transitions. [S] -> [S, N]."""
    return np.repeat(of_seeds[:, None], like.shape[1], 1)
