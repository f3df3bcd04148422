"""ReBRAC: TD3+BC with deeper networks, a normalised critic and a penalty in the critic as well.

Paper: Tarasov et al., Revisiting the Minimalist Approach to Offline Reinforcement Learning,
arXiv:2305.09836.
Code: official, tinkoff-ai/ReBRAC at 694385b, `src/algorithms/rebrac.py`, of which tinkoff-ai/CORL
has a copy at 6afec90, `algorithms/offline/rebrac.py`.

Deviations:
    - Update order: the actor learns in every second update from the second on (official: from the
      first on).
    - Targets: the actor's target follows the actor as its step leaves it (official: as it was
      before it).
    - Rewards: as they are unless a suite says otherwise (official: 100 r on AntMaze).
    - Data: the last step before a time limit has no penalty in the critic, as the data have no next
      action for it. Official: the file has one more row, at the limit; no step is made of that row,
      but its action is the next action of the step before it.
    - Budget: the suite's (official: 10⁶ updates, 10 episodes every 5000).
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
)
from algorithms.blocks.critics import mean_size, mean_squared_error
from algorithms.fields import Count, LearningRate, PolyakRate, Weight, Widths
from algorithms.initialisation import Initialisation
from algorithms.networks import MLP

# EDAC's, which the paper takes over: small outputs, and hidden units that start active.
ACTOR_INITIALISATION = Initialisation(bias=0.1, last=1e-3)
CRITIC_INITIALISATION = Initialisation(bias=0.1, last=3e-3)


class ReBRACConfig(Config):
    """ReBRAC's settings, with the official ones of Gym locomotion.

    The two penalties are tuned for each dataset; here each is the commonest of the nine.
    """

    hidden_dims: Widths = (256, 256, 256)  # width of every hidden layer
    batch_size: Count = 1024  # B, transitions per update; 256 on other tasks
    normalize_observations: bool = False  # the networks see raw observations
    actor_learning_rate: LearningRate = 1e-3  # Adam; 3e-4 on Adroit
    critic_learning_rate: LearningRate = 1e-3  # Adam; 3e-4 on Adroit
    actor_penalty: Weight = 0.01  # β1, weight of cloning against a normalised Q
    critic_penalty: Weight = 0.01  # β2, weight of the next actions' distance to the data's
    tau: PolyakRate = 0.005  # τ, Polyak rate of the targets
    policy_noise: Weight = 0.2  # σ of the target policy's smoothing noise
    noise_clip: Weight = 0.5  # c, bound of that noise
    policy_every: Count = 2  # d, critic updates for one actor update


class ReBRAC(Algorithm[ReBRACConfig]):
    """max_π E [Q(s, π(s)) / mean |Q| − β1 |π(s) − a|²], and Q̄(s', a') − β2 |a' − â'|² in backups.

    a' is the target policy's next action, â' the data's.
    """

    Config = ReBRACConfig

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        self.networks = {
            "actor": MLP(obs, act, config.hidden_dims, initialisation=ACTOR_INITIALISATION),
            "critic": MLP(
                obs + act,
                1,
                config.hidden_dims,
                ensemble=2,
                layer_norm=True,
                initialisation=CRITIC_INITIALISATION,
            ),
        }
        self.optimizers = {
            "actor": Adam(config.actor_learning_rate),
            "critic": Adam(config.critic_learning_rate),
        }
        self.targets = {"actor": config.tau, "critic": config.tau}
        self.noise = {"smoothing": Normal(act)}
        actor = Phase(
            self.actor_loss,
            ("actor",),
            every=config.policy_every,
            updates_targets=("actor", "critic"),
        )
        self.stages = (Stage((Phase(self.critic_loss, ("critic",)), actor)),)

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        config = self.config
        smoothing = (config.policy_noise * noise["smoothing"]).clamp(
            -config.noise_clip, config.noise_clip
        )
        next_actions = torch.tanh(nets.target.actor(batch.next_observations)) + smoothing
        next_actions = next_actions.clamp(-1, 1)
        penalty = batch.has_next * (next_actions - batch.next_actions).square().sum(-1)
        next_q = nets.target.critic(batch.next_observations, next_actions).amin(1)
        next_value = next_q - config.critic_penalty * penalty
        backup = batch.rewards + config.discount * batch.masks * next_value
        q = nets.critic(batch.observations, batch.actions)
        loss = mean_squared_error(q, backup)
        metrics = {
            "critic/loss": loss,
            "critic/mean": q.mean((1, 2)),
            "critic/penalty": penalty.mean(-1),
        }
        return loss, metrics

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        actions = torch.tanh(nets.actor(batch.observations))
        q = nets.frozen.critic(batch.observations, actions).amin(1)
        q_loss = -q.mean(-1) / mean_size(q.detach())
        bc_loss = self.config.actor_penalty * (actions - batch.actions).square().sum(-1).mean(-1)
        return q_loss + bc_loss, {"actor/q_loss": q_loss, "actor/bc_loss": bc_loss}

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        return torch.tanh(nets.actor(observations))
