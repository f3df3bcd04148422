"""Q-Flow: a flow policy whose velocity climbs the value of every point on the way to an action.

Paper: Doo, Jeon, Ye, Lee and Seo, Q-Flow: Stable and Expressive Reinforcement Learning with
Flow-Based Policy, arXiv:2605.13435.
Code: official, jaehyeokdoo2/qflow at 8e788e5, `agents/qflow.py`.

At hand were the code and the losses of the project's page, of the paper its abstract alone. The
flow is deterministic, so that a point x_t on the way is worth what the action is that it leads to:
V learns that by regression, and no gradient goes through the ODE. The code's V itself was at hand
only as jeongsukchul/svgd_qc at 753dafa has it (`utils/qflow_networks.py`). At 8e788e5 λ is 1 by
default; at 703bda9 and ac1f34e it is called `alpha` and is 10.

Deviations:
    - Targets: the target critic averages the critic as the update leaves it. Official: as it was
      before it; there V has a target too, which nothing asks.
    - Networks: V sees the time as sines and cosines, as in every published setting
      (`qflow_config.py` at 703bda9). Official default: as a number.
    - Initialisation: PyTorch's, U(±1/√fan_in). Official: Glorot uniform, biases zero.
    - Rewards: as they are unless a suite says otherwise (official: 1 is subtracted on AntMaze).
    - Data: actions are not kept 1e-5 inside ±1.
    - Budget: the suite's (official: 10⁶ updates, 50 episodes an evaluation).
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.base import Batch, Loss, Networks, Noise, Normal, Uniform
from algorithms.blocks.flow import complete, path_point
from algorithms.blocks.flow_actor_critic import FlowActorCritic, FlowActorCriticConfig
from algorithms.fields import Count, Positive
from algorithms.networks import MLP

_HIGHEST_FREQUENCY = 256.0  # in radians over the whole flow


class QFlowConfig(FlowActorCriticConfig):
    """Q-Flow's settings, with the code's values."""

    guidance_lambda: Positive = 1.0  # λ: V's gradient weighs 1/λ, to be tuned for each task
    time_frequencies: Count = 8  # of V's time; 8 on AntMaze, 32 on most of OGBench


class QFlow(FlowActorCritic[QFlowConfig]):
    """min_u E |u(s, x_t, t) − (a − x_0 + ∇V(s, x_t, t) / λ)|², V(s, x_t, t) ≈ Q(s, a(x_t)).

    a(x_t) is the action that the flow makes of x_t.
    """

    Config = QFlowConfig

    def create(self) -> None:
        config, act = self.config, self.action_dim
        self.create_actor_critic(
            inner_value=MLP(
                self.obs_dim + act + 2 * config.time_frequencies,
                1,
                config.hidden_dims,
                2,
                activation="gelu",
                layer_norm=True,
            )
        )
        self.noise = {**self.noise, "inner_x0": Normal(act), "inner_time": Uniform(1)}

    def policy_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """V's regression, and flow matching whose target is bent uphill."""
        inner_loss, inner_value = self.inner_value_loss(nets, batch, noise)
        observations, time = batch.observations, noise["time"]
        x, rate = path_point("linear", noise["x0"], batch.actions, time)
        waves = self.waves(time)

        def value(x: Tensor) -> Tensor:
            v: Tensor = nets.frozen.inner_value(observations, x, waves)
            return v.mean(1).sum()

        slope = torch.func.grad(value)(x).detach()
        velocity = nets.flow(observations, x, time)
        flow_loss = (velocity - rate - slope / self.config.guidance_lambda).square().mean((1, 2))
        return flow_loss + inner_loss, {
            "flow/loss": flow_loss,
            "flow/slope": slope.norm(dim=-1).mean(-1),
            "inner_value/loss": inner_loss,
            "inner_value/mean": inner_value.mean(-1),
        }

    def inner_value_loss(self, nets: Networks, batch: Batch, noise: Noise) -> tuple[Tensor, Tensor]:
        """V regresses, at points between noise and data, on Q̄ of where the flow takes them.

        -> [S], and V itself [S, B].
        """
        observations, time = batch.observations, noise["inner_time"]
        x, _ = path_point("linear", noise["inner_x0"], batch.actions, time)
        actions = complete(nets.frozen.flow, observations, x, time, self.config.flow_steps)
        target = self.aggregated(nets.target.critic(observations, actions.clamp(-1, 1)))
        value = self.aggregated(nets.inner_value(observations, x, self.waves(time)))
        return (value - target).square().mean(-1), value

    def waves(self, time: Tensor) -> Tensor:
        """Sines and cosines at frequencies from 1 to 256, evenly in their logarithm. [S, B, ·]."""
        count = self.config.time_frequencies
        exponents = torch.linspace(0, 1, count, device=time.device, dtype=time.dtype)
        angles = time * _HIGHEST_FREQUENCY**exponents
        return torch.cat([angles.sin(), angles.cos()], -1)
