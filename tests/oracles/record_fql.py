"""Records FQL's own code: `python -m tests.oracles.record_fql FOLDER`, a checkout of it.

It is seohongpark/fql at the commit below; nothing of it is part of this repository.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from torch import Tensor

from tests.oracles.flax_recording import arrays_of, drawing, drawn, perceptron, record
from tests.oracles.recording import (
    ACTION_DIM,
    BATCH,
    HIDDEN,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    TAU,
)

COMMIT = "719d044"
THEIRS = {
    "lr": LEARNING_RATE,
    "actor_hidden_dims": HIDDEN,
    "value_hidden_dims": HIDDEN,
    "layer_norm": True,
    "actor_layer_norm": False,
    "discount": SETTINGS["discount"],
    "tau": TAU,
    "encoder": None,
}
COMPARED = "three updates, whose target critic averages the critic as the update leaves it"


def created(kind: Any, rng: np.random.Generator, **config: Any) -> Any:
    """An agent with drawn weights."""
    observations, actions = np.zeros((1, OBS_DIM)), np.zeros((1, ACTION_DIM))
    agent = kind.create(0, observations, actions, {**THEIRS, **config})
    network = agent.network
    return agent.replace(network=network.replace(params=drawn(network.params, rng)))


def average_of_the_new(kind: Any) -> Any:
    """The class's own average, of the critic after the update in place of that before it."""
    own = kind.target_update

    def target_update(agent: Any, network: Any, name: str) -> None:
        own(agent.replace(network=network), network, name)

    return mock.patch.object(kind, "target_update", target_update)


def trees(agent: Any, names: Mapping[str, str], target: str = "critic") -> dict[str, Any]:
    """names: of our networks, and of the agent's; target: ours of that which has one."""
    params, means = agent.network.params, agent.network.opt_state[0].mu
    found = {f"targets/{target}": params[f"modules_target_{names[target]}"]}
    for ours, name in names.items():
        found |= {f"params/{ours}": params[f"modules_{name}"]}
        found |= {f"adam_means/{ours}": means[f"modules_{name}"]}
    return found


def fql() -> None:
    kind = importlib.import_module("agents.fql").FQLAgent
    rng = np.random.default_rng(0)
    ours = {"alpha": 2.5, "flow_steps": 3, "q_aggregation": "min", "normalize_q_loss": True}
    theirs = {"q_agg" if name == "q_aggregation" else name: value for name, value in ours.items()}
    agent = created(kind, rng, **theirs)

    @jax.jit
    def update(agent: Any, batch: Any, noise: Any) -> Any:
        logged = jnp.zeros((BATCH, ACTION_DIM))  # of actions whose error is logged
        given = (noise[name] for name in ("next_z", "x0", "time", "z"))
        with drawing(*given, logged), average_of_the_new(kind):
            return agent.update(batch)

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        nonlocal agent
        agent, info = update(agent, arrays_of(batch), arrays_of(noise))
        return {
            "critic/loss": float(info["critic/critic_loss"]),
            "flow/loss": float(info["actor/bc_flow_loss"]),
            "actor/distill_loss": float(info["actor/distill_loss"]),
            "actor/q_loss": float(info["actor/q_loss"]),
        }

    names = {"critic": "critic", "flow": "actor_bc_flow", "actor": "actor_onestep_flow"}
    record(
        "fql",
        "fql",
        lambda: trees(agent, names),
        step,
        rng,
        layers=perceptron,
        updates=3,
        noise={"next_z": ACTION_DIM, "x0": ACTION_DIM, "z": ACTION_DIM},
        uniform={"time": 1},
        config={**SETTINGS, "learning_rate": LEARNING_RATE, "tau": TAU, **ours},
        compared=COMPARED,
        version=COMMIT,
    )


def ifql() -> None:
    kind = importlib.import_module("agents.ifql").IFQLAgent
    rng = np.random.default_rng(1)
    agent = created(kind, rng, expectile=0.8)

    @jax.jit
    def update(agent: Any, batch: Any, noise: Any) -> Any:
        with drawing(noise["x0"], noise["time"]), average_of_the_new(kind):
            return agent.update(batch)

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        nonlocal agent
        agent, info = update(agent, arrays_of(batch), arrays_of(noise))
        return {
            "value/loss": float(info["value/value_loss"]),
            "critic/loss": float(info["critic/critic_loss"]),
            "behavior/loss": float(info["actor/actor_loss"]),
        }

    names = {"behavior": "actor_flow", "critic": "critic", "value": "value"}
    record(
        "fql",
        "ifql",
        lambda: trees(agent, names),
        step,
        rng,
        layers=perceptron,
        updates=3,
        noise={"x0": ACTION_DIM},
        uniform={"time": 1},
        config={
            **SETTINGS,
            "pretrain_learning_rate": LEARNING_RATE,
            "tau": TAU,
            "expectile": 0.8,
        },
        compared=COMPARED,
        version=COMMIT,
    )


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    sys.modules["ml_collections"] = mock.MagicMock()
    recorders: tuple[Callable[[], None], ...] = (fql, ifql)
    for recorder in recorders:
        recorder()
