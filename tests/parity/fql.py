"""Training with the agents of seohongpark/fql: their update, their batches, their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from algorithms.transitions import Transitions
from harness.rollouts.evaluation import Policy
from harness.rollouts.rollout import Floats
from tests.parity.checkout import load
from tests.parity.runs import Run

METHODS = ("fql", "ifql")
# By our settings: theirs.
_NAMES = {
    "hidden_dims": ("actor_hidden_dims", "value_hidden_dims"),
    "alpha": ("alpha",),
    "q_aggregation": ("q_agg",),
    "normalize_q_loss": ("normalize_q_loss",),
    "flow_steps": ("flow_steps",),
    "learning_rate": ("lr",),
    "pretrain_learning_rate": ("lr",),
}
_DICTIONARIES = SimpleNamespace(
    ConfigDict=dict, config_dict=SimpleNamespace(placeholder=lambda kind: None)
)


def train(folder: Path, run: Run, transitions: Transitions) -> Policy:
    """The agent's policy after the run's steps."""
    return _policy(trained_agent(folder, run, transitions), run.seed)


def trained_agent(folder: Path, run: Run, transitions: Transitions) -> Any:
    """What the loop of their `main.py` makes of our arrays in the run's steps."""
    names = (f"agents.{run.method}", "utils.datasets")
    module, datasets = load(folder, names, {"ml_collections": _DICTIONARIES})
    np.random.seed(run.seed)
    data = datasets.Dataset.create(**_arrays(transitions))
    config = settings(module.get_config(), run.settings)
    kind = getattr(module, f"{run.method.upper()}Agent")
    example = data.sample(1)
    agent = kind.create(run.seed, example["observations"], example["actions"], config)
    for _ in range(run.steps):
        agent, _ = agent.update(data.sample(config["batch_size"]))
    return agent


def _policy(agent: Any, seed: int) -> Policy:
    """Acts on one observation at a time, as IFQL's choice among its samples has to."""
    import jax

    @jax.jit
    def act(observations: Any, key: Any) -> Any:
        keys = jax.random.split(key, len(observations))
        return jax.vmap(lambda seen, drawn: agent.sample_actions(seen, seed=drawn))(
            observations, keys
        )

    key = jax.random.PRNGKey(seed)

    def policy(observations: Floats, rewards: Floats) -> Floats:
        nonlocal key
        key, drawn = jax.random.split(key)
        return np.asarray(act(observations[0], drawn))[None]

    return policy


def settings(defaults: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Their config, with what our suite sets under their names."""
    given = {theirs: _frozen(value) for name, value in ours.items() for theirs in _NAMES[name]}
    return {**defaults, **given}


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _arrays(transitions: Transitions) -> dict[str, Any]:
    """As their `get_dataset` names them: terminals end episodes, masks are 0 where the MDP does."""
    return {
        "observations": np.asarray(transitions.observations),
        "actions": np.asarray(transitions.actions),
        "next_observations": np.asarray(transitions.next_observations),
        "rewards": np.asarray(transitions.rewards),
        "masks": 1 - transitions.terminals,
        "terminals": np.maximum(transitions.terminals, transitions.timeouts),
    }
