"""SQL and EQL: values under an implicit penalty for leaving the data, sparse or exponential.

Paper: Xu et al., Offline RL with No OOD Actions: In-Sample Learning via Implicit Value
Regularization, arXiv:2303.15810.
Code: official, ryanxhr/IVR at 58edd26, `critic.py`, `actor.py`, `learner.py`; settings of
`run_mujoco.sh` and `configs/mujoco_config.py`.

Deviations:
    - Schedule: online, the policy's learning rate is constant. Official: `train_finetune.py` does
      not run, as its learner is told neither a loss nor over how many updates the cosine falls.
    - Rewards: as the suite says. Official: episodes' returns span 1000 on Gym locomotion
      (`reward_transform: return-range`), 1 is subtracted on AntMaze.
    - Data: actions are not kept 1e-5 inside ±1.
    - Budget: the suite's (official: 10⁶ updates, 10 episodes every 5000).

The 0.5 dropout of V's that the official settings have on AntMaze is left out: no forward pass turns
it on.

What follows is as in the official code, and the paper differs:
    - SQL's policy weighs actions by max(Q − V, 0) (paper: by max(1 + (Q − V) / 2α, 0), which also
      keeps actions that are a little worse than V).
    - EQL's policy weighs them by exp(10 (Q − V) / α) (paper: without the 10).
    - No weight is above 100, and (Q − V) / α not above 5 in the exponential of EQL's V.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from algorithms.blocks.in_sample import InSample, InSampleConfig, linex_loss
from algorithms.fields import Positive


class SQLConfig(InSampleConfig):
    """SQL's settings, with the official code's values for Gym locomotion."""

    regularizer: Literal["sparse", "exponential"] = "sparse"  # SQL or EQL
    alpha: Positive = 1.0  # α, weight of the penalty; EQL's is 2
    max_exponent: Positive = 5.0  # EQL: bound of (Q − V) / α in V's exponential
    sharpness: Positive = 10.0  # EQL: factor on (Q − V) / α in the policy's weights


class SQL(InSample[SQLConfig]):
    """V* under a χ² (SQL) or KL (EQL) penalty, from the data's actions; then a weighted clone."""

    Config = SQLConfig

    def value_errors(self, q: Tensor, value: Tensor) -> Tensor:
        """SQL: 1(t > 0) t² + V / α, t = 1 + (Q − V) / 2α. EQL: exp((Q − V) / α) + V / α.

        EQL's is less what does not depend on V, and scaled (`linex_loss`).
        """
        z = (q - value) / self.config.alpha
        if self.config.regularizer == "exponential":
            return linex_loss(z.clamp(max=self.config.max_exponent), z)
        return (1 + z / 2).clamp(min=0).square() + value / self.config.alpha

    def weights(self, advantage: Tensor) -> Tensor:
        if self.config.regularizer == "exponential":
            return torch.exp(self.config.sharpness * advantage / self.config.alpha)
        return advantage.clamp(min=0)
