"""Training with BDPO of typoverflow/flow-rl: its update, its data's treatment, its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import yaml

from algorithms.transitions import Transitions
from harness.rollouts.evaluation import Policy
from harness.rollouts.rollout import Floats
from tests.parity.checkout import load
from tests.parity.runs import Run

METHODS = ("bdpo",)
# By our settings: where theirs are in their config.
_PLACES = {
    "hidden_dims": "algo.critic.hidden_dims",
    "policy_hidden_dims": "algo.diffusion.mlp_hidden_dims",
    "policy_learning_rate": "algo.diffusion.actor.lr",
    "eta": "algo.critic.eta",
    "rho": "algo.critic.rho",
    "critics": "algo.critic.ensemble_size",
    "samples": "algo.critic.num_samples",
    "reward_transform": "data.norm_reward",
}
_REWARDS = {"return-range": "iql_mujoco", "raw": "none"}
_ABSENT = ("hydra", "hydra.core", "hydra.core.config_store", "omegaconf", "d4rl", "gym")


def train(folder: Path, run: Run, transitions: Transitions) -> Policy:
    """The agent's policy after the run's steps, half of them pretraining as in its `Trainer`."""
    names = ("flowrl.agent.offline.bdpo.bdpo", "flowrl.dataset.d4rl")
    module, datasets = load(folder, names, {name: mock.MagicMock() for name in _ABSENT})
    config = settings(folder, run)
    np.random.seed(run.seed)
    datasets.qlearning_dataset = lambda _: _arrays(transitions)
    kept = ("clip_eps", "scan", "norm_obs", "norm_reward")
    data = datasets.D4RLDataset("", **{name: config["data"][name] for name in kept})
    algo, batch_size = _namespace(config["algo"]), config["data"]["batch_size"]
    agent = module.BDPOAgent(transitions.obs_dim, transitions.action_dim, algo, run.seed)
    for step in range(config["pretrain_steps"]):
        agent.pretrain_step(data.sample(batch_size), step)
    agent.prepare_training()
    for step in range(config["train_steps"]):
        agent.train_step(data.sample(batch_size), step)

    def policy(observations: Floats, rewards: Floats) -> Floats:
        actions, _ = agent.sample_actions(
            observations[0], num_samples=config["eval"]["num_samples"]
        )
        return np.asarray(actions)[None]

    return policy


def settings(folder: Path, run: Run) -> dict[str, Any]:
    """Their config, with what our suite sets in its place and the budget's shares as in theirs."""
    configs = folder / "examples" / "offline" / "config" / "d4rl"
    common = yaml.safe_load((configs / "config.yaml").read_text())
    config = yaml.safe_load((configs / "algo" / "bdpo.yaml").read_text())
    config["data"] = common["data"] | config["data"]
    config["data"]["clip_eps"] = float(config["data"]["clip_eps"])  # PyYAML reads 1e-5 as text
    warm = config["algo"]["warmup_steps"] / config["train_steps"]
    config["pretrain_steps"] = run.steps // 2
    config["train_steps"] = run.steps - run.steps // 2
    config["algo"]["warmup_steps"] = round(warm * config["train_steps"])
    for name in ("algo.critic", "algo.diffusion.actor"):
        _set(config, f"{name}.lr_decay_steps", config["train_steps"])
    for name, value in run.settings.items():
        _set(config, _PLACES[name], _REWARDS[value] if name == "reward_transform" else value)
    return config


def _set(config: dict[str, Any], place: str, value: Any) -> None:
    *path, last = place.split(".")
    inner = reduce(dict.__getitem__, path, config)
    assert last in inner, f"their config has no {place}"
    inner[last] = value


def _namespace(values: Mapping[str, Any]) -> SimpleNamespace:
    """As their agent reads it; lists can be hashed, as what JAX compiles by must be."""
    kinds = {dict: _namespace, list: tuple}
    return SimpleNamespace(**{k: kinds.get(type(v), lambda v: v)(v) for k, v in values.items()})


def _arrays(transitions: Transitions) -> dict[str, Any]:
    """As their `qlearning_dataset` names them; next actions are not looked at."""
    return {
        "observations": np.asarray(transitions.observations),
        "actions": np.asarray(transitions.actions),
        "rewards": np.asarray(transitions.rewards),
        "terminals": np.asarray(transitions.terminals),
        "next_observations": np.asarray(transitions.next_observations),
        "next_actions": np.asarray(transitions.actions),
        "ends": np.maximum(transitions.terminals, transitions.timeouts),
    }
