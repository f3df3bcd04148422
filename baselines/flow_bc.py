"""Flow behaviour cloning: the behaviour flow u_v of Decision Flow, acting by itself.

Paper: Lipman et al., Flow Matching for Generative Modeling, arXiv:2210.02747; as a policy it is
the BC flow of FQL (Park et al., arXiv:2502.02538).
Code: seohongpark/fql at 719d044, `agents/fql.py`, its `actor_bc_flow` alone.

Deviations:
    - Networks: two hidden layers of 256 units unless a suite says otherwise (FQL: four of 512).
    - Initialisation: PyTorch's, U(±1/√fan_in). FQL: Glorot uniform, biases zero.
    - Schedule: a learning rate of 1e-3 (FQL: 3e-4), constant in both.
    - Observations: normalised (FQL: as they are).
    - Budget: the suite's (FQL, D4RL: 5 · 10⁵ updates, 50 episodes an evaluation).
    - Evaluation: acts with a Polyak average of the weights (FQL: the raw weights).
"""

from __future__ import annotations

from torch import Tensor

from algorithms.base import (
    Adam,
    Algorithm,
    Batch,
    Config,
    Loss,
    Networks,
    Noise,
    Normal,
    Phase,
    Stage,
    Uniform,
)
from algorithms.blocks.flow import PathName, flow_matching_loss, sample, velocity_network
from algorithms.fields import Count, LearningRate, PolyakRate


class FlowBCConfig(Config):
    """Flow behaviour cloning's settings."""

    learning_rate: LearningRate = 1e-3  # Adam
    flow_steps: Count = 10  # Euler steps from noise to action
    ema: PolyakRate = 1e-3  # Polyak rate of the weights that act
    path: PathName = "linear"  # probability path from noise to action


class FlowBC(Algorithm[FlowBCConfig]):
    """Fits a velocity field to the dataset's actions and acts by integrating it."""

    Config = FlowBCConfig

    def create(self) -> None:
        config = self.config
        self.networks = {
            "flow": velocity_network(self.obs_dim, self.action_dim, config.hidden_dims)
        }
        self.optimizers = {"flow": Adam(config.learning_rate)}
        self.targets = {"flow": config.ema}
        self.noise = {"x0": Normal(self.action_dim), "time": Uniform(1)}
        self.act_noise = {"x0": Normal(self.action_dim)}
        self.stages = (Stage((Phase(self.loss, ("flow",), updates_targets=("flow",)),)),)

    def loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        loss = flow_matching_loss(
            nets.flow,
            batch.observations,
            batch.actions,
            noise["x0"],
            noise["time"],
            self.config.path,
        )
        return loss, {"flow/loss": loss}

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        return sample(nets.target.flow, observations, noise["x0"], self.config.flow_steps)
