"""One-step RL: Q of the behaviour policy by SARSA, then one step of policy improvement on it.

Paper: Brandfonbrener et al., Offline RL Without Off-Policy Evaluation, arXiv:2106.08909.
Code: official, davidbrandfonbrener/onestep-rl at 9999443, `train.py`, `policy_network.py`,
`q_learner.py` (SarsaLearner), `policy_learner.py` (BCLearner, ReverseKLRegLearner) and `config/`.

The step is reverse-KL regularisation: the official default and, on Gym locomotion, the best of the
paper's improvement operators by its scores as others quote them (716 points over nine datasets,
exponential weights 685). The others are left out: exponential weights, a term of cloning, and the
best of β's actions. π is a Gaussian as β is: the official config names a truncated one for it, but
its training begins with a copy of β, and that with β's kind.

Deviations:
    - Losses: π's KL divergence from β is exact (official: from ten samples, with the same
      expectation).
    - Update order: Q and β, which do not see each other, learn side by side, β in every second
      update (official: β's 5·10⁵ updates come before Q's 2·10⁶).
    - Data: the last step before a time limit teaches β and π, but not Q, as the data have no next
      action for it. Official: the file has one more row, at the limit; no step is made of that row,
      but its action is the next action of the step before it.
    - Budget: the suite's, and the policy gets a share of it: of 10⁶ updates the official 10⁵,
      whence 9·10⁵ for Q and 4.5·10⁵ for β (official: 100 episodes of the last policy).
"""

from __future__ import annotations

from dataclasses import dataclass, field

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
)
from algorithms.fields import Count, LearningRate, PolyakRate, Share, Weight, Widths
from algorithms.networks import MLP, Params, gaussian_log_prob

_LOWEST_LOG_STD = -5.0  # the highest is 0


class OneStepConfig(Config):
    """One-step RL's settings, with the official code's values; α is tuned for each dataset."""

    hidden_dims: Widths = (1024, 1024)  # width of every hidden layer
    batch_size: Count = 512  # B, transitions per update
    normalize_observations: bool = False  # the networks see raw observations
    learning_rate: LearningRate = 1e-4  # Adam, of Q, β and π
    alpha: Weight = 1.0  # α, weight of KL(π | β); 0.03 to 10
    tau: PolyakRate = 0.005  # Polyak rate of the target critic
    target_every: Count = 2  # Q's updates for one of β and for one move of the target critic
    policy_share: Share = 0.1  # of the budget, for π


@dataclass(frozen=True)
class BoundedGaussian:
    """A Gaussian policy with means in (-1, 1) and log standard deviations in (-5, 0), by tanh.

    Called with observations `[S, B, obs_dim]` it returns both, each `[S, B, action_dim]`.
    """

    obs_dim: int
    action_dim: int
    hidden_dims: tuple[int, ...]
    mlp: MLP = field(init=False)

    def __post_init__(self) -> None:
        # Built here, since a compiled update may read objects but not create them.
        mlp = MLP(self.obs_dim, 2 * self.action_dim, self.hidden_dims)
        object.__setattr__(self, "mlp", mlp)

    def init(self, generator: torch.Generator) -> Params:
        return self.mlp.init(generator)

    def __call__(self, params: Params, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        mean, spread = torch.tanh(self.mlp(params, *inputs)).chunk(2, -1)
        return mean, _LOWEST_LOG_STD * (1 - spread) / 2


class Critic(MLP):
    """One network with the axis of twins: it returns `[S, 1, B]`."""

    def __call__(self, params: Params, *inputs: Tensor, key: Tensor | None = None) -> Tensor:
        return super().__call__(params, *inputs, key=key).unsqueeze(1)


class OneStep(Algorithm[OneStepConfig]):
    """Q = Q^β, then max_π E [Q^β(s, a) − α KL(π(·| s) | β(·| s))], a from π."""

    Config = OneStepConfig
    action_selection = "noise-0"  # the mean

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        policy = BoundedGaussian(obs, act, config.hidden_dims)
        self.networks = {
            "critic": Critic(obs + act, 1, config.hidden_dims),
            "behavior": policy,
            "actor": policy,
        }
        self.optimizers = {name: Adam(config.learning_rate) for name in self.networks}
        self.targets = {"critic": config.tau, "behavior": 1.0}  # 1: β itself, to start π from
        self.noise = {"gaussian": Normal(act)}
        self.act_noise = {"gaussian": Normal(act)}
        clone = Phase(
            self.behavior_loss,
            ("behavior",),
            every=config.target_every,
            updates_targets=("critic", "behavior"),
        )
        evaluate = Phase(self.critic_loss, ("critic",))
        improve = Phase(self.actor_loss, ("actor",))
        share = config.policy_share
        self.stages = (
            Stage((evaluate, clone), 1 - share, act=self.act_as_behavior),
            Stage((improve,), share, copies={"actor": "behavior"}),
        )

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """SARSA: Q regresses on r + γ Q̄(s', a'), a' the data's."""
        next_q = nets.target.critic(batch.next_observations, batch.next_actions).amin(1)
        backup = batch.rewards + self.config.discount * batch.masks * next_q
        q = nets.critic(batch.observations, batch.actions)
        known = torch.maximum(batch.has_next, 1 - batch.masks)  # an action follows, or nothing
        error = (q - backup.unsqueeze(1)).square().sum(1)
        loss = (known * error).sum(-1) / known.sum(-1).clamp(min=1)
        return loss, {"critic/loss": loss, "critic/mean": q.mean((1, 2))}

    def behavior_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        mean, log_std = nets.behavior(batch.observations)
        loss = -gaussian_log_prob(batch.actions, mean, log_std).mean(-1)
        return loss, {"behavior/loss": loss}

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        mean, log_std = nets.actor(batch.observations)
        actions = mean + log_std.exp() * noise["gaussian"]
        q = nets.frozen.critic(batch.observations, actions).amin(1).mean(-1)
        kl = gaussian_kl(mean, log_std, *nets.frozen.behavior(batch.observations)).mean(-1)
        return self.config.alpha * kl - q, {"actor/q": q, "actor/kl": kl}

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        mean, log_std = nets.actor(observations)
        action: Tensor = mean + log_std.exp() * noise["gaussian"]
        return action

    def act_as_behavior(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        """A sample of β. [S, E, obs_dim] -> [S, E, action_dim]."""
        mean, log_std = nets.behavior(observations)
        action: Tensor = mean + log_std.exp() * noise["gaussian"]
        return action


def gaussian_kl(mean: Tensor, log_std: Tensor, other: Tensor, other_log_std: Tensor) -> Tensor:
    """KL divergence of diagonal Gaussians, the first from the other. [S, B, dim] each -> [S, B]."""
    ratio = log_std - other_log_std
    distance = (mean - other) * torch.exp(-other_log_std)
    return (((2 * ratio).exp() + distance.square() - 1) / 2 - ratio).sum(-1)
