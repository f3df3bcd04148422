"""Implicit flow Q-learning: the best of N samples of a behaviour flow under IQL's critic.

Paper: Park, Li and Levine, Flow Q-Learning, arXiv:2502.02538, baseline IFQL: the flow counterpart
of IDQL (Hansen-Estruch et al., arXiv:2304.10573).
Code: official, seohongpark/fql at 719d044, `agents/ifql.py`.

Behaviour flow, Q and V are those that Decision Flow starts from (`flow_pretraining.py`), equal bit
for bit at equal settings, of which Decision Flow's own are others.

Deviations:
    - Targets: the target critic averages the critic as the update leaves it. Official: as it was
      before it.
    - Initialisation: PyTorch's, U(±1/√fan_in). Official: Glorot uniform, biases zero.
    - Rewards: as they are unless a suite says otherwise (official: 1 is subtracted on AntMaze).
    - Data: actions are not kept 1e-5 inside ±1.
    - Budget: the suite's (official, D4RL: 5 · 10⁵ updates, 50 episodes an evaluation).
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from algorithms.base import Networks, Noise
from algorithms.blocks.flow_pretraining import FlowPolicyConfig, FlowPretraining
from algorithms.fields import Expectile, LearningRate, PolyakRate, Share, Widths


class IFQLConfig(FlowPolicyConfig):
    """IFQL's settings, with the official values."""

    hidden_dims: Widths = (512, 512, 512, 512)  # width of every hidden layer
    normalize_observations: bool = False  # the networks see raw observations
    expectile: Expectile = 0.9  # IQL's τ; 0.7 for Decision Flow's critic
    pretrain_learning_rate: LearningRate = 3e-4  # Adam, all networks; constant
    behavior_ema: PolyakRate = 1.0  # of the flow that acts: the trained one itself
    pretrain_share: Share = 0.75  # of the budget, shared with other methods


class IFQL(FlowPretraining[IFQLConfig]):
    """Pretraining that goes on; the critic only ranks what the behaviour flow proposes."""

    Config = IFQLConfig
    action_selection = "best-of-32"

    def create(self) -> None:
        share = self.config.pretrain_share
        self.create_pretraining(share)
        # Adds to the stages of pretraining.
        self.stages += (replace(self.stages[-1], share=1 - share),)

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        return self.act_as_behavior(nets, observations, noise)
