"""Cal-QL: CQL that pushes no value below what the data earned, so that it can go on online at once.

Paper: Nakamoto et al., Cal-QL: Calibrated Offline RL Pre-Training for Efficient Online Fine-Tuning,
arXiv:2303.05479.
Code: official, nakamotoo/Cal-QL at ac6eafe, `JaxCQL/conservative_sac.py`, whose defaults these are;
tinkoff-ai/CORL has another at 6afec90, `algorithms/finetune/cal_ql.py`, without the bound online.

Deviations:
    - Losses: what a time limit cuts off a return, which bounds values, goes on at the data's mean
      reward. Official: at nothing; and a whole episode of the lowest sparse reward r has
      r / (1 − γ) everywhere.
    - Update order: online, an update follows every step in the environment. Official: as many
      updates as an episode had steps, after it.
    - Rewards: as they are unless a suite says otherwise (official: 10 r − 5 on AntMaze, 10 r + 5 on
      Adroit's binary tasks).
    - Data: actions are not kept 1e-5 inside ±1.
    - Data: online, an episode of the learner's own is learned from once it is over; until its first
      is, all of a batch are data. The replay buffer keeps everything that was seen (official: the
      last million transitions).
    - Budget: the suite's (official: 10⁶ updates on AntMaze, 2·10⁴ on Adroit, before it goes
      online).

Official options that the official settings do not use are left out: entropy in the backup, bounds
on the gap (CORL: at least −200), a temperature of the log-sum-exp other than 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from algorithms.base import Batch, Networks, Noise, Normal
from algorithms.fields import LearningRate, Weight, Widths
from algorithms.initialisation import Initialisation
from algorithms.networks import MLP
from baselines.cql import CQL, CQLConfig, ShiftedGaussian
from baselines.sac import SAC


class CalQLConfig(CQLConfig):
    """Cal-QL's settings, with the official code's values.

    On Adroit hidden layers are 512 twice, and the critics' 512 three times; on AntMaze the critics'
    are 256 four times.
    """

    hidden_dims: Widths = (256, 256)  # width of every hidden layer
    critic_hidden_dims: Widths | None = None  # the critics'; null: same. Others on Adroit, AntMaze
    normalize_observations: bool = False  # the networks see raw observations
    policy_learning_rate: LearningRate = 1e-4  # Adam, of policy and temperature
    alpha: Weight = 5.0  # α: weight of the conservative term; 1 on Adroit
    max_backup: bool = True  # back up the best of `samples` next actions, not one


class CalQL(CQL):
    """CQL with max(Q(s, a), V^μ(s)) for the values of the policy's actions.

    V^μ(s) is the return to go of the transition that s is from.
    """

    Config = CalQLConfig
    config: CalQLConfig
    online_sampling = "symmetric"  # type: ignore[assignment]  # SAC's is the other one
    online_returns = True
    online_phases = SAC.online_phases

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        super().create()  # all but the networks' sizes and beginnings is CQL's
        orthogonal = Initialisation("orthogonal", gain=math.sqrt(2), bias=0.0, last=0.01)
        self.networks["actor"] = ShiftedGaussian(
            obs, act, config.hidden_dims, initialisation=orthogonal
        )
        widths = config.critic_hidden_dims or config.hidden_dims
        self.networks["critic"] = MLP(obs + act, 1, widths, ensemble=2, initialisation=orthogonal)
        if config.max_backup:
            self.noise = {**self.noise, "next_gaussian": Normal(config.samples * act)}

    def next_value(self, nets: Networks, batch: Batch, noise: Noise) -> Tensor:
        """max_j min_i Q̄_i(s', a_j), or of a single action. -> [S, B]."""
        if not self.config.max_backup:
            return super().next_value(nets, batch, noise)
        samples = self.config.samples
        actions, _ = self.sample(nets, batch.next_observations, noise["next_gaussian"])
        observations = batch.next_observations.repeat_interleave(samples, 1)
        q = nets.target.critic(observations, actions).amin(1)
        value: Tensor = q.unflatten(1, (-1, samples)).amax(-1)
        return value

    def policy_values(self, q: Tensor, batch: Batch) -> Tensor:
        returns = batch.returns.repeat_interleave(self.config.samples, 1)
        return torch.maximum(q, returns.unsqueeze(1))
