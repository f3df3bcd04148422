"""DFQL: the gradient of Q at the action guides the velocity of every step that led to it.

Paper: Cao et al., Direct Flow Q-Learning, ICML 2026 (PMLR 306), openreview.net/forum?id=RdkOaK4q6p.
Code: the paper names 2012060/DFQL, which was out of reach (`agents/dfql.py` of Xyu-Chern/DOAL at
3170748 is another method).

Of the paper only its abstract was at hand: this is no reproduction but a derivation from what it
says, that a surrogate objective puts Q's gradient at the last point, as guidance, into the velocity
field of each step, without back-propagation through time and without distillation. The gradient of
−Q(s, x_K) is −(1/K) Σ_k (∂u_k/∂θ)ᵀ J_kᵀ ∇Q with u_k = u_θ(s, x_k, k/K) and J_k = ∂x_K/∂x_{k+1}.
Guidance by ∇Q itself leaves J_k out. All else is `fbrac`'s, so that they differ in that alone.

Deviations:
    - Losses: that the guidance is of the policy's own points, that steps weigh alike, and that flow
      matching holds the policy to the data are choices. The paper's are not known.
    - Update order: one step of all networks together, as in FQL. The paper's is not known.
    - Targets: FQL's, as in `fbrac`. The paper's are not known.
    - Networks: FQL's critic and flow. The paper's are not known.
    - Initialisation: PyTorch's, U(±1/√fan_in). The paper's is not known.
    - Activation and norm: FQL's. The paper's are not known.
    - Schedule: FQL's, a constant learning rate. The paper's is not known.
    - Clipping: of actions alone, as in FQL. The paper's is not known.
    - Rewards: as they are unless a suite says otherwise. The paper's are not known.
    - Observations: as they are, as in FQL. The paper's are not known.
    - Data: single transitions. The paper's are not known.
    - Budget: the suite's. The paper's is not known.
    - Evaluation: one sample of the policy. The paper's is not known.
"""

from __future__ import annotations

from torch import Tensor

from algorithms.base import Networks
from algorithms.blocks.flow import sample
from baselines.fbrac import FBRAC


class DFQL(FBRAC):
    """min α L_flow − E Q(s, a), a = x_0 + (1/K) Σ_k u(s, x_k, k/K) with every x_k held fixed."""

    def actions(self, nets: Networks, observations: Tensor, z: Tensor) -> Tensor:
        """The flow's, with no gradient through the points at which its steps begin."""

        def velocity(s: Tensor, x: Tensor, t: Tensor) -> Tensor:
            u: Tensor = nets.flow(s, x.detach(), t)
            return u

        return sample(velocity, observations, z, self.config.flow_steps).clamp(-1, 1)
