"""FAWAC: AWAC with a flow policy, flow matching weighted by exponentials of the advantage.

Paper: Park, Li and Levine, Flow Q-Learning, arXiv:2502.02538, baseline FAWAC (Eq. 10): the flow
counterpart of AWAC (Nair et al., arXiv:2006.09359).
Code: none of the paper's: FAWAC is not among the agents of seohongpark/fql at 719d044. Its second
author's, of a later paper, ColinQiyangLi/qam at f93efd2, `agents/fawac.py`.

All but the policy's loss and V is FQL's, as the paper has it.

Deviations:
    - Losses: a backup is the mean of the twins, or their minimum, as in the paper. Code: the mean
      less half the deviation of ten critics.
    - Losses: α is the paper's (code: 10 by default).
    - Targets: the target critic averages the critic as the update leaves it. Code: as it was before
      it.
    - Networks: two critics, as in the paper (code: ten).
    - Initialisation: PyTorch's, U(±1/√fan_in). Code: Glorot uniform, biases zero.
    - Rewards: as they are unless a suite says otherwise (paper: 1 is subtracted on AntMaze).
    - Data: single transitions, as in the paper (code: n-step returns, or chunks of actions), whose
      actions are not kept 1e-5 inside ±1.
    - Budget: the suite's (paper, D4RL: 5 · 10⁵ updates, 50 episodes an evaluation).

The paper does not say where V is from, nor whether the weights are bounded: both are the code's.
Nor does it say of what the weights are where backups are of the twins' minimum: here of their mean
(jaehyeokdoo2/qflow at 703bda9, others' reproduction, has the minimum in both).
"""

from __future__ import annotations

import torch

from algorithms.base import Batch, Loss, Networks, Noise
from algorithms.blocks.flow import path_point
from algorithms.blocks.flow_actor_critic import FlowActorCritic, FlowActorCriticConfig
from algorithms.fields import Positive, Weight
from algorithms.networks import MLP


class FAWACConfig(FlowActorCriticConfig):
    """FAWAC's settings, with the paper's values for locomotion (AntMaze)."""

    alpha: Weight = 3.0  # α: inverse temperature of exp(α A) (Eq. 10); 0.03 to 3 on Adroit
    max_weight: Positive = 100.0  # bound of exp(α A)


class FAWAC(FlowActorCritic[FAWACConfig]):
    """min E [exp(α (Q(s, a) − V(s))) |u(s, x_t, t) − (a − x_0)|²], V(s) = E Q̄(s, a) on the data."""

    Config = FAWACConfig

    def create(self) -> None:
        hidden = self.config.hidden_dims
        self.create_actor_critic(
            value=MLP(self.obs_dim, 1, hidden, activation="gelu", layer_norm=True)
        )

    def policy_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        flow_loss, flow_metrics = self.flow_loss(nets, batch, noise)
        value_loss, value_metrics = self.value_loss(nets, batch)
        return flow_loss + value_loss, flow_metrics | value_metrics

    def flow_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Flow matching, each transition weighted by what it is better than V by."""
        config, observations = self.config, batch.observations
        q = nets.frozen.critic(observations, batch.actions).mean(1)
        advantage = q - nets.frozen.value(observations)
        weight = torch.exp(config.alpha * advantage).clamp(max=config.max_weight)
        x, rate = path_point("linear", noise["x0"], batch.actions, noise["time"])
        error = (nets.flow(observations, x, noise["time"]) - rate).square().mean(-1)
        loss = (weight * error).mean(-1)
        return loss, {"flow/loss": loss, "flow/weight": weight.mean(-1)}

    def value_loss(self, nets: Networks, batch: Batch) -> Loss:
        """V regresses on the target twins' mean at the data's actions."""
        q = nets.target.critic(batch.observations, batch.actions).mean(1)
        value = nets.value(batch.observations)
        loss = (q - value).square().mean(-1)
        return loss, {"value/loss": loss, "value/mean": value.mean(-1)}
