"""FBRAC: a flow policy that clones the data while climbing Q through all of its Euler steps.

Paper: Park, Li and Levine, Flow Q-Learning, arXiv:2502.02538, baseline FBRAC (Eq. 6): the flow
counterpart of Diffusion-QL (Wang et al., arXiv:2208.06193).
Code: none of the paper's: FBRAC is not among the agents of seohongpark/fql at 719d044. Others' on
that code base, chongyi-zheng/value-flows at 0183335, `agents/fbrac.py`.

`flow-bptt` has the same gradient path with Decision Flow's critic and divergence.

Deviations:
    - Targets: the target critic averages the critic as the update leaves it. Code: as it was before
      it.
    - Initialisation: PyTorch's, U(±1/√fan_in). Code: Glorot uniform, biases zero.
    - Rewards: as they are unless a suite says otherwise (paper: 1 is subtracted on AntMaze).
    - Data: actions are not kept 1e-5 inside ±1.
    - Budget: the suite's (paper, D4RL: 5 · 10⁵ updates, 50 episodes an evaluation).
"""

from __future__ import annotations

from algorithms.base import Batch, Loss, Networks, Noise, Normal
from algorithms.blocks.flow import flow_matching_loss
from algorithms.blocks.flow_actor_critic import FlowActorCritic, FlowActorCriticConfig, q_loss
from algorithms.fields import Weight


class FBRACConfig(FlowActorCriticConfig):
    """FBRAC's settings, with the code's values."""

    alpha: Weight = 10.0  # α: weight of flow matching (Eq. 6), to be tuned for each task
    normalize_q_loss: bool = False  # divide the Q term by mean |Q|


class FBRAC(FlowActorCritic[FBRACConfig]):
    """min α L_flow − E Q(s, a), a drawn by all Euler steps of the flow and differentiated so."""

    Config = FBRACConfig

    def create(self) -> None:
        self.create_actor_critic()
        self.noise = {**self.noise, "z": Normal(self.action_dim)}

    def policy_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        config, observations = self.config, batch.observations
        bc_loss = flow_matching_loss(
            nets.flow, observations, batch.actions, noise["x0"], noise["time"]
        )
        actions = self.actions(nets, observations, noise["z"])
        climb = q_loss(nets, observations, actions, normalize=config.normalize_q_loss)
        loss = config.alpha * bc_loss + climb
        return loss, {"flow/bc_loss": bc_loss, "flow/q_loss": climb}
