"""BDPO: a diffusion policy whose every step is priced by its divergence from the behaviour's.

Paper: Gao et al., Behavior-Regularized Diffusion Policy Optimization for Offline Reinforcement
Learning, arXiv:2502.04778.
Code: the first author's, typoverflow/flow-rl at bae22f4, `flowrl/agent/offline/bdpo/bdpo.py`,
`flowrl/flow/ddpm.py`, `examples/offline/config/d4rl/algo/bdpo.yaml` and `scripts/d4rl/bdpo.sh`.

It is Decision Flow's nearest relative (`algorithms/decision_flow/decision_flow.py`). Both take the
steps that make an action for decisions of an MDP, price each decision's distance from a pretrained
behaviour policy, learn what the point is worth that a decision leads to, and climb that instead of
going back through the whole chain. Decision Flow's Q is IQL's, its decisions are those of its own
roll-outs, and the distance is that of velocities. Here Q is an actor-critic's and pays the prices
of the next action too, decisions are at noised actions of the data, the distance is the KL
divergence of two Gaussian steps, Q and V are an ensemble's lower bound, and the best of ten samples
acts.

Deviations:
    - Update order: policy and behaviour step in the last of every five updates of the critics.
      Official: in the first.
    - Schedule: the policy's learning rate is constant. Official: it falls to 91% along a cosine.
    - Rewards: as the suite says. Official: episodes' returns span 1000 on Gym locomotion
      (`reward_transform: return-range`).
    - Data: actions are not kept 1e-5 inside ±1, and transitions are drawn with replacement
      (official: in passes over the shuffled data).
    - Budget: the suite's, half of it for pretraining (official: 2 · 10⁶ updates of each).
    - Evaluation: best of ten while pretraining too, when it means nothing (official: one sample).
"""

from __future__ import annotations

import torch
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
from algorithms.blocks.critics import lower_confidence_bound
from algorithms.blocks.denoising import step_deviation, step_divergence, step_mean
from algorithms.blocks.diffusion import (
    Decision,
    Epsilon,
    add_noise,
    diffusion_loss,
    sampling_noise,
    walk_back,
)
from algorithms.blocks.noise_networks import StepMLP
from algorithms.fields import (
    Count,
    LearningRate,
    PolyakRate,
    Positive,
    Several,
    Share,
    Weight,
    Widths,
)
from algorithms.initialisation import ORTHOGONAL
from algorithms.networks import MLP

_WAVES = 64


class BDPOConfig(Config):
    """BDPO's settings, with the official values for walker2d."""

    hidden_dims: Widths = (256, 256, 256)  # width of every hidden layer of the critics
    policy_hidden_dims: Widths = (256, 256, 256, 256)  # of the policy's and the behaviour's
    normalize_observations: bool = False  # the networks see raw observations
    policy_learning_rate: LearningRate = 1e-5  # Adam, constant
    behavior_learning_rate: LearningRate = 3e-4  # Adam, constant
    critic_learning_rate: LearningRate = 3e-4  # Adam, Q and V; decays to 0 along a cosine
    eta: Weight = 0.15  # η: price of a nat of divergence; 0.05 halfcheetah, 0.2 hopper
    rho: Weight = 1.0  # ρ: standard deviations below the mean; 0.5 halfcheetah, 2 hopper
    critics: Several = 10  # of Q and of V; 20 on hopper/medium
    diffusion_steps: Count = 5  # K, steps from noise to action
    samples: Count = 10  # N, of next actions, and of the points that a step leads to
    policy_every: Count = 5  # updates of the critics for one of the policy and of the behaviour
    pretrain_share: Share = 0.5  # of the budget, for the behaviour
    warmup_share: Share = 0.0125  # of the budget, for the critics alone after that
    tau: PolyakRate = 0.005  # Polyak rate of the target critics
    policy_ema: PolyakRate = 0.005  # Polyak rate of the policy that acts, and that backups use
    behavior_ema: PolyakRate = 0.005  # Polyak rate of the behaviour that divergences are from
    max_grad_norm: Positive = 1.0  # of each network


class BDPO(Algorithm[BDPOConfig]):
    """max E [Q(s, x_0) − η Σ_k KL(π(x_{k−1} | s, x_k) ‖ behaviour's)], step by step through V."""

    Config = BDPOConfig
    action_selection = "best-of-10"

    def create(self) -> None:
        self.create_networks()
        config, act = self.config, self.action_dim
        draw = sampling_noise(act, config.diffusion_steps)
        self.noise = {
            "epsilon": Normal(act),
            "step": Uniform(1),
            "next_sample": Normal(config.samples * draw.dim),
            "value_epsilon": Normal(act),
            "value_step": Uniform(1),
            "value_point": Normal(config.samples * act),
            "policy_epsilon": Normal(act),
            "policy_step": Uniform(1),
            "policy_point": Normal(config.samples * act),
        }
        self.act_noise = {"sample": draw}

        critics, every = ("critic", "value"), config.policy_every
        behavior, critic, policy, behavior_too = (
            Phase(self.behavior_loss, ("behavior",), updates_targets=("behavior",)),
            Phase(self.evaluation_loss, critics, updates_targets=critics),
            Phase(self.policy_loss, ("policy",), every, updates_targets=("policy",)),
            Phase(self.behavior_loss, ("behavior",), every, updates_targets=("behavior",)),
        )
        pretrained, warm = config.pretrain_share, config.warmup_share
        self.stages = (
            Stage((behavior,), pretrained, act=self.act_as_behavior),
            Stage((critic,), warm, {"policy": "behavior"}),
            Stage((critic, policy, behavior_too), 1 - pretrained - warm),
        )

    def create_networks(self) -> None:
        """Networks, optimisers and averages."""
        config, obs, act = self.config, self.obs_dim, self.action_dim
        policy = StepMLP(
            obs,
            act,
            act,
            config.policy_hidden_dims,
            _WAVES,
            (_WAVES, _WAVES),
            mish_last=True,
            initialisation=ORTHOGONAL,
        )
        self.networks = {
            "behavior": policy,
            "policy": policy,
            "critic": MLP(
                obs + act,
                1,
                config.hidden_dims,
                config.critics,
                activation="mish",
                initialisation=ORTHOGONAL,
            ),
            "value": StepMLP(
                obs,
                act,
                1,
                config.hidden_dims,
                _WAVES,
                (2 * _WAVES, _WAVES),
                mish_last=True,
                ensemble=config.critics,
                layer_norm=True,
                initialisation=ORTHOGONAL,
            ),
        }
        bound = config.max_grad_norm
        critic = Adam(config.critic_learning_rate, cosine_decay=True, max_grad_norm=bound)
        self.optimizers = {
            "behavior": Adam(config.behavior_learning_rate, max_grad_norm=bound),
            "policy": Adam(config.policy_learning_rate, max_grad_norm=bound),
            "critic": critic,
            "value": critic,
        }
        self.targets = {
            "behavior": config.behavior_ema,
            "policy": config.policy_ema,
            "critic": config.tau,
            "value": config.tau,
        }

    def behavior_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        loss = diffusion_loss(
            nets.behavior,
            batch.observations,
            batch.actions,
            noise["epsilon"],
            noise["step"],
            self.config.diffusion_steps,
        )
        return loss, {"behavior/loss": loss}

    def evaluation_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Q of actions and V of noised ones regress on their backups, every member on the same."""
        backup = self.q_backup(nets, batch, noise)
        q = nets.critic(batch.observations, batch.actions)
        critic_loss = (q - backup.unsqueeze(1)).square().mean((1, 2))

        steps = self.config.diffusion_steps
        x, step = add_noise(batch.actions, noise["value_epsilon"], noise["value_step"], steps)
        at, points = (batch.observations, x, step), noise["value_point"]
        target = self.step_value(nets, nets.target.policy(*at), *at, points)
        value = nets.value(*at)
        value_loss = (value - target.unsqueeze(1)).square().mean((1, 2))
        return critic_loss + value_loss, {
            "critic/loss": critic_loss,
            "critic/mean": q.mean((1, 2)),
            "value/loss": value_loss,
            "value/mean": value.mean((1, 2)),
        }

    def policy_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """What its steps from noised actions lead to and cost is to be as high as can be."""
        steps = self.config.diffusion_steps
        x, step = add_noise(batch.actions, noise["policy_epsilon"], noise["policy_step"], steps)
        at, points = (batch.observations, x, step), noise["policy_point"]
        loss = -self.step_value(nets, nets.policy(*at), *at, points).mean(-1)
        return loss, {"policy/loss": loss}

    def q_backup(self, nets: Networks, batch: Batch, noise: Noise) -> Tensor:
        """r + γ (LCB Q(s', a') − η Σ_k KL_k), a' walked to by the average policy. -> [S, B]."""
        config, steps = self.config, self.config.diffusion_steps
        observations = batch.next_observations.repeat_interleave(config.samples, 1)
        draws = noise["next_sample"].reshape(*observations.shape[:2], -1)
        actions, decisions = self.walk(nets.target.policy, observations, draws)
        next_q = self.pessimistic(nets.target.critic(observations, actions))
        divergences = [
            step_divergence(predicted, nets.target.behavior(observations, x, step), step, steps)
            for x, step, predicted in decisions
        ]
        divergence = torch.stack(divergences).sum(0).view(len(draws), -1, config.samples).mean(-1)
        next_value = next_q - config.eta * divergence
        return batch.rewards + config.discount * batch.masks * next_value

    def step_value(
        self,
        nets: Networks,
        predicted: Tensor,
        observations: Tensor,
        x: Tensor,
        step: Tensor,
        points: Tensor,
    ) -> Tensor:
        """LCB V(s, x_{k−1}, k − 1) − η KL_k of predicting that noise at x_k; V at x_0 is Q.

        points: N draws of the step's own noise, [S, B, N * action_dim] -> [S, B].
        """
        config, steps = self.config, self.config.diffusion_steps
        mean, spread = step_mean(predicted, x, step, steps), step_deviation(step, steps)
        draws = points.view(*points.shape[:2], config.samples, -1)
        reached = (mean.unsqueeze(2) + spread.unsqueeze(2) * draws).flatten(1, 2)
        states, left = (each.repeat_interleave(config.samples, 1) for each in (observations, step))
        value = self.pessimistic(nets.target.value(states, reached, left - 1))
        q = lower_confidence_bound(nets.target.critic(observations, mean), config.rho)
        behavior = nets.target.behavior(observations, x, step)
        divergence = step_divergence(predicted, behavior, step, steps)
        return torch.where(step[..., 0] > 1, value, q) - config.eta * divergence

    def pessimistic(self, values: Tensor) -> Tensor:
        """The lower bound of the members' means over N samples. [S, E, B * N] -> [S, B]."""
        means = values.reshape(*values.shape[:2], -1, self.config.samples).mean(-1)
        return lower_confidence_bound(means, self.config.rho)

    def walk(
        self, epsilon: Epsilon, observations: Tensor, noise: Tensor
    ) -> tuple[Tensor, list[Decision]]:
        """An action from noise, and the decisions that led there. -> [S, B, action_dim]."""
        steps = self.config.diffusion_steps
        return walk_back(epsilon, observations, noise, steps, variance="added")

    def action_value(self, nets: Networks, observations: Tensor, actions: Tensor) -> Tensor:
        """The target critics' mean. [S, B, ·] -> [S, B]."""
        q: Tensor = nets.target.critic(observations, actions)
        return q.mean(1)

    def act_as_behavior(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        """A sample of the behaviour. [S, E, obs_dim] -> [S, E, action_dim]."""
        return self.walk(nets.target.behavior, observations, noise["sample"])[0]

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        return self.walk(nets.target.policy, observations, noise["sample"])[0]
