"""Consistency-AC: a consistency model of the data that climbs Q through its few steps.

Paper: Ding and Jin, Consistency Models as a Rich and Efficient Policy Class for Reinforcement
Learning, arXiv:2309.16984.
Code: official, quantumiracle/Consistency_Model_For_Reinforcement_Learning at cdeae87,
`agents/ql_consistency.py`, `agents/consistency.py`, `agents/helpers.py` and `offline.py`.

All but the policy and the scale of backups is Diffusion-QL's (`diffusion_ql.py`), in the official
code too.

Deviations:
    - Losses: the actor's Q term is the mean over which twin is climbed and which one scales it.
      Official: a coin decides in every update.
    - Targets: the average policy, which backups and the consistency loss use, moves by 0.001 in
      every update. Official: by 0.005 in every fifth, the same in the long run, and not at all
      during the first 1000.
    - Schedule: no decay of the learning rates (official: `--lr_decay` lowers them by 0.1% in a
      run).
    - Clipping: one default bound of the gradients' norms (official: 1 to 10, chosen for each task,
      as suites do).
    - Rewards: as they are unless a suite says otherwise (official: standardised on Adroit, shifted
      and scaled on AntMaze).
    - Budget: the suite's (official: 2 · 10⁶ updates on Gym, 10⁶ or 5 · 10⁵ on pen; 10 and 100
      episodes every 50 000).
    - Selection: the last policy (official: the one picked by its consistency loss, or the best of
      all evaluations).

The official code lets the number of noise levels begin anew after every evaluation, as
`curriculum_steps` does, and scales the consistency loss on all tasks: the `scale_consis_loss` of
some is not passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from algorithms.base import Batch, Networks, Noise, Stage
from algorithms.blocks.consistency import UpdateCount, consistency_loss, noise_levels, sample
from algorithms.blocks.edm import Model
from algorithms.fields import Count
from algorithms.networks import Params
from baselines.diffusion_ql import DiffusionQL, DiffusionQLConfig


class CACConfig(DiffusionQLConfig):
    """Consistency-AC's settings, with the official values for halfcheetah."""

    diffusion_steps: Count = 2  # evaluations of the network for an action; 5 on some walker2d tasks
    curriculum_steps: Count = 50_000  # in which N, levels of noise, grow to 150; then anew
    normalize_backups: bool = False  # by their deviation; on pen, most of walker2d and mazes


class CAC(DiffusionQL[CACConfig]):
    """min_π L_consistency − η E Q(s, a) / E |Q|, a drawn by all steps of π."""

    Config = CACConfig

    def create(self) -> None:
        super().create()
        self.networks["updates"] = UpdateCount()
        critic, actor = self.stages[0].phases
        self.stages = (Stage((critic, replace(actor, assigns=self.count_update))),)

    def backup(self, nets: Networks, batch: Batch, noise: Noise) -> Tensor:
        backup = super().backup(nets, batch, noise)
        if self.config.normalize_backups:
            return backup / (backup.std(-1, keepdim=True) + 1e-6)
        return backup

    def bc_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Tensor:
        """f agrees with the average f nearer to the data: at first, and in the end, with these."""
        return consistency_loss(
            self.model(nets),
            self.model(nets.target),
            batch.observations,
            batch.actions,
            noise["epsilon"],
            noise["step"],
            noise_levels(nets.frozen.updates() / self.config.curriculum_steps),
        )

    def count_update(self, nets: Networks, batch: Batch, noise: Noise) -> Mapping[str, Params]:
        """From the start anew when the curriculum is over."""
        count = (nets.updates() + 1) % self.config.curriculum_steps
        return {"updates": {"count": count.unsqueeze(-1)}}

    def draw(self, nets: Networks, observations: Tensor, noise: Tensor) -> Tensor:
        return sample(self.model(nets), observations, noise, self.config.diffusion_steps)

    def model(self, nets: Networks) -> Model:
        """The network of f, which counts steps from 1 and here sees σ."""
        return lambda observations, x, sigma: nets.actor(observations, x, sigma + 1)
