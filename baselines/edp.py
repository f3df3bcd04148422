"""EDP: a diffusion policy that learns from actions guessed in one step, not drawn by its chain.

Paper: Kang et al., Efficient Diffusion Policies for Offline Reinforcement Learning,
arXiv:2305.20081.
Code: official, sail-sg/edp at b019648, `diffusion/dql.py`, `diffusion/nets.py`,
`diffusion/trainer.py`, as its README runs it with DPM-Solver.

Deviations:
    - Losses: noise is added in continuous time. Official: in 1000 steps, of which this is the
      limit.
    - Losses: TD3's term is the mean over both critics. Official: a coin decides in every update
      which one is climbed.
    - Targets: the average policy, which backups use, moves by 0.001 in every update. Official: by
      0.005 in every fifth, the same in the long run, and not at all during the first 1000.
    - Targets: next actions are drawn by DPM-Solver-2 on predicted actions. Official: by
      DPM-Solver-3 on predicted noise. Both clip what they predict so that actions are within ±1.
    - Networks: the frequencies of the time features fall to 10⁻⁴ (official: to 10⁻³·⁵).
    - Initialisation: PyTorch's, U(±1/√fan_in). Official: N(0, 1/fan_in) truncated, biases zero.
    - Clipping: the gradient of both critics together, at one default bound (official: of each, at 1
      to 10, chosen for each task, as suites do).
    - Rewards: as they are unless a suite says otherwise. Official: scaled to ±1 on Adroit, shifted
      and scaled on AntMaze, scaled by the range of returns for IQL on Gym.
    - Data: actions are not kept 10⁻³ inside ±1.
    - Budget: the suite's (official: 2 · 10⁶ updates, 10 episodes every 10 000).
    - Evaluation: candidates are drawn as next actions are.

What follows is as in the official code, and the paper differs:
    - The action is one of 50 candidates, by the softmax of their values (paper: of 10).
"""

from __future__ import annotations

from typing import Literal

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
from algorithms.blocks.critics import expectile_loss, mean_squared_error
from algorithms.blocks.noise_networks import noise_network
from algorithms.blocks.vp_sde import Epsilon, perturb, predicted_action, sample
from algorithms.fields import (
    Count,
    Expectile,
    LearningRate,
    PolyakRate,
    Positive,
    Weight,
    Widths,
)
from algorithms.networks import MLP, gaussian_log_prob

_STEPS = 1000  # the network sees the time in units of so many steps


class EDPConfig(Config):
    """EDP's settings, with the official values for Gym locomotion."""

    hidden_dims: Widths = (256, 256, 256)  # width of every hidden layer
    normalize_observations: bool = False  # the networks see raw observations
    learner: Literal["td3", "crr", "iql"] = "td3"  # whose critics, and whose term of the policy
    learning_rate: LearningRate = 3e-4  # Adam, all networks
    alpha: Weight = 2.0  # TD3: weight of the normalised Q
    crr_samples: Count = 10  # CRR: actions around the guess in the advantage
    crr_temperature: Positive = 1.0  # CRR: β of min(exp(A / β), max)
    crr_max_weight: Positive = 20.0  # CRR: bound of the weights
    expectile: Expectile = 0.7  # IQL: τ of V
    iql_temperature: Positive = 3.0  # IQL: β of min(exp(β A), max), an inverse temperature
    iql_max_weight: Positive = 100.0  # IQL: bound of the weights
    tau: PolyakRate = 0.005  # Polyak rate of the target critics
    ema: PolyakRate = 1e-3  # Polyak rate of the policy that backups use
    max_grad_norm: Positive = 5.0  # of each network
    diffusion_steps: Count = 15  # evaluations of the network for an action


class EDP(Algorithm[EDPConfig]):
    """min_π E |ε_π − ε|² + a term of â, the action that ε_π's one guess makes of a noisy one."""

    Config = EDPConfig
    action_selection = "softmax-of-50"
    selection_temperature = 1.0

    def create(self) -> None:
        config, obs, act = self.config, self.obs_dim, self.action_dim
        hidden = config.hidden_dims
        self.networks = {
            "actor": noise_network(obs, act, hidden),
            "critic": MLP(obs + act, 1, hidden, ensemble=2, activation="mish"),
        }
        self.noise = {"epsilon": Normal(act), "time": Uniform(1)}
        self.act_noise = {"start": Normal(act)}
        phases: tuple[Phase, ...]
        if config.learner == "iql":
            self.networks["value"] = MLP(obs, 1, hidden, activation="mish")
            self.targets = {"critic": config.tau}
            phases = (
                Phase(self.value_loss, ("value",)),
                Phase(self.actor_loss, ("actor",)),
                Phase(self.in_sample_critic_loss, ("critic",), updates_targets=("critic",)),
            )
        else:
            self.targets = {"actor": config.ema, "critic": config.tau}
            self.noise["next_start"] = Normal(act)
            if config.learner == "crr":
                self.noise["around"] = Normal(config.crr_samples * act)
            both = ("actor", "critic")
            phases = (Phase(self.loss, both, updates_targets=both),)
        adam = Adam(config.learning_rate, max_grad_norm=config.max_grad_norm)
        self.optimizers = dict.fromkeys(self.networks, adam)
        self.stages = (Stage(phases),)

    def loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """TD3 and CRR: both steps are from the networks before the update."""
        critic_loss, critic_metrics = self.critic_loss(nets, batch, noise)
        actor_loss, metrics = self.actor_loss(nets, batch, noise)
        return critic_loss + actor_loss, critic_metrics | metrics

    def critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """Twins regress on r + γ min_i Q̄_i(s', a'), a' drawn by the average policy."""
        next_actions = self.draw(nets.target, batch.next_observations, noise["next_start"])
        next_q = nets.target.critic(batch.next_observations, next_actions).amin(1)
        return self._regression(nets, batch, next_q)

    def in_sample_critic_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """IQL: twins regress on r + γ V(s')."""
        return self._regression(nets, batch, nets.frozen.value(batch.next_observations))

    def _regression(self, nets: Networks, batch: Batch, next_value: Tensor) -> Loss:
        backup = batch.rewards + self.config.discount * batch.masks * next_value
        q = nets.critic(batch.observations, batch.actions)
        loss = mean_squared_error(q, backup)
        return loss, {"critic/loss": loss, "critic/mean": q.mean((1, 2))}

    def value_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """IQL: V regresses on the smaller target of the data's actions, by expectile."""
        q = nets.target.critic(batch.observations, batch.actions).amin(1)
        value = nets.value(batch.observations)
        loss = expectile_loss(q - value, self.config.expectile).mean(-1)
        return loss, {"value/loss": loss, "value/mean": value.mean(-1)}

    def actor_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        """E |ε_π(x_t) − ε|², and a term of â = (x_t − σ_t ε_π(x_t)) / α_t, clipped to ±1."""
        observations = batch.observations
        x, time = perturb(batch.actions, noise["epsilon"], noise["time"])
        predicted = _epsilon(nets)(observations, x, time)
        bc_loss = (predicted - noise["epsilon"]).square().mean((1, 2))
        guess = predicted_action(x, predicted, time).clamp(-1, 1)
        if self.config.learner == "td3":
            term = self.climb(nets, observations, guess)
        else:
            weight = self.weight(nets, batch, guess.detach(), noise)
            log_prob = gaussian_log_prob(batch.actions, guess, torch.zeros_like(guess))
            term = -(weight * log_prob).mean(-1)
        return bc_loss + term, {"actor/bc_loss": bc_loss, "actor/q_loss": term}

    def climb(self, nets: Networks, observations: Tensor, guess: Tensor) -> Tensor:
        """TD3: −α E Q_i(s, â) / E |Q_i(s, â)|, the mean over both critics. -> [S]."""
        q: Tensor = nets.frozen.critic(observations, guess)
        return -self.config.alpha * (q.mean(-1) / q.abs().mean(-1).detach()).mean(1)

    def weight(self, nets: Networks, batch: Batch, guess: Tensor, noise: Noise) -> Tensor:
        """CRR and IQL: how much of a data action the guess is to take on. -> [S, B]."""
        config, observations = self.config, batch.observations
        if config.learner == "iql":
            q: Tensor = nets.target.critic(observations, batch.actions).amin(1)
            advantage: Tensor = q - nets.frozen.value(observations)
            return (config.iql_temperature * advantage).exp().clamp(max=config.iql_max_weight)
        q = nets.frozen.critic(observations, batch.actions).amin(1)
        count = config.crr_samples
        repeated = guess.repeat_interleave(count, 1)
        around = repeated + noise["around"].reshape(repeated.shape)
        others = nets.frozen.critic(observations.repeat_interleave(count, 1), around).amin(1)
        advantage = q - others.unflatten(1, (-1, count)).mean(-1)
        return (advantage / config.crr_temperature).exp().clamp(max=config.crr_max_weight)

    def draw(self, nets: Networks, observations: Tensor, start: Tensor) -> Tensor:
        """Actions of the policy in `nets`. [S, B, obs_dim] -> [S, B, action_dim]."""
        steps = self.config.diffusion_steps
        return sample(_epsilon(nets), observations, start, steps, bounded=True)

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        return self.draw(nets, observations, noise["start"])


def _epsilon(nets: Networks) -> Epsilon:
    """ε(s, x, t) of the policy's network, which counts steps."""
    return lambda observations, x, time: nets.actor(observations, x, _STEPS * time)
