"""Implicit flow Q-learning: the best of N samples of a behaviour flow under IQL's critic.

Paper: Park, Li and Levine, Flow Q-Learning, arXiv:2502.02538, baseline IFQL: the flow counterpart
of IDQL (Hansen-Estruch et al., arXiv:2304.10573).
Code: seohongpark/fql `agents/ifql.py`.

Deviations:
    - Behaviour flow, Q and V are Decision Flow's (GELU, layer norm, twin minimum, averaged flow);
      width and learning rate are a suite's choice. At equal settings they are equal bit for bit.
    - Observations are normalised (paper: no).
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from algorithms.base import Networks, Noise
from algorithms.blocks.flow_pretraining import FlowPolicyConfig, FlowPretraining
from algorithms.fields import Share


class IFQLConfig(FlowPolicyConfig):
    """IFQL's settings."""

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
