"""Records IDQL's own code: `python -m tests.oracles.record_idql FOLDER`, a checkout of it.

It is philippe-eecs/IDQL at the commit below; nothing of it is part of this repository.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from torch import Tensor

from tests.oracles.flax_recording import Tree, arrays_of, drawing, drawn, perceptron, record
from tests.oracles.recording import (
    ACTION_DIM,
    HIDDEN,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    TAU,
    Arrays,
)

COMMIT = "7582571"
WIDTH, BLOCKS, STEPS, EMA, EXPECTILE, UPDATES = 8, 2, 3, 0.1, 0.8, 3


def layers(tree: Tree) -> Arrays:
    if "MLPResNet_0" in tree:
        return residual(tree)
    if "OutputVDense" in tree:
        norm = perceptron({"LayerNorm_0": tree["MLP_0"]["LayerNorm_0"]})
        hidden = {k: v for k, v in tree["MLP_0"].items() if k != "LayerNorm_0"}
        inputs = {key.replace("_0", "_in"): array for key, array in norm.items()}
        return {**perceptron({**hidden, f"Dense_{len(HIDDEN)}": tree["OutputVDense"]}), **inputs}
    (tree,) = tree.values()  # of the ensemble
    return perceptron({**tree["MLP_0"], f"Dense_{len(HIDDEN)}": tree["Dense_0"]})


def residual(tree: Tree) -> Arrays:
    """The policy's network."""
    arrays = {f"time_{name}": array for name, array in perceptron(tree["MLP_0"]).items()}
    arrays["frequencies"] = np.array(tree["FourierFeatures_0"]["kernel"]).reshape(1, 1, -1)
    body = tree["MLPResNet_0"]
    named = {"in": body["Dense_0"], "out": body["Dense_1"]}
    for i in range(BLOCKS):
        block = body[f"MLPResNetBlock_{i}"]
        named |= {f"wide_{i}": block["Dense_0"], f"narrow_{i}": block["Dense_1"]}
        arrays |= perceptron({f"LayerNorm_{i}": block["LayerNorm_0"]})
    for name, layer in named.items():
        found = perceptron({"Dense_0": layer})
        arrays |= {key.replace("0", name): array for key, array in found.items()}
    return arrays


def idql(module: Any) -> None:
    rng = np.random.default_rng(0)
    narrow = functools.partial(module.MLPResNet, hidden_dim=WIDTH)  # their 256 is no argument
    spaces = (
        SimpleNamespace(shape=(width,), sample=functools.partial(np.zeros, width))
        for width in (OBS_DIM, ACTION_DIM)
    )
    with mock.patch.object(module, "MLPResNet", narrow):
        agent = module.DDPMIQLLearner.create(
            0,
            *spaces,
            actor_lr=LEARNING_RATE,
            critic_lr=LEARNING_RATE,
            value_lr=LEARNING_RATE,
            critic_hidden_dims=HIDDEN,
            discount=SETTINGS["discount"],
            tau=TAU,
            critic_hyperparam=EXPECTILE,
            actor_num_blocks=BLOCKS,
            actor_tau=EMA,
            T=STEPS,
            time_dim=WIDTH // 2,
            decay_steps=UPDATES,
        )
    names = ("score_model", "target_score_model", "critic", "target_critic", "value")
    states = {name: getattr(agent, name) for name in names}
    agent = agent.replace(
        **{name: state.replace(params=drawn(state.params, rng)) for name, state in states.items()}
    )

    @jax.jit
    def update(agent: Any, batch: Any, noise: Any) -> Any:
        time = jnp.floor(STEPS * noise["step"][:, 0]).astype(int)
        with drawing(time, noise["epsilon"]):
            return agent.update(batch)

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        nonlocal agent
        agent, info = update(agent, arrays_of(batch), arrays_of(noise))
        losses = {
            "actor/bc_loss": "actor_loss",
            "value/loss": "value_loss",
            "critic/loss": "critic_loss",
        }
        return {ours: float(info[name]) for ours, name in losses.items()}

    def trees() -> dict[str, Any]:
        found = {
            "targets/actor": agent.target_score_model.params,
            "targets/critic": agent.target_critic.params,
        }
        for ours, name in (("actor", "score_model"), ("critic", "critic"), ("value", "value")):
            state = getattr(agent, name)
            found[f"params/{ours}"] = state.params
            found[f"adam_means/{ours}"] = state.opt_state[0].mu
        return found

    record(
        "idql",
        "idql",
        trees,
        step,
        rng,
        layers=layers,
        updates=UPDATES,
        noise={"epsilon": ACTION_DIM},
        uniform={"step": 1},
        config={
            **SETTINGS,
            "actor_dim": WIDTH,
            "actor_blocks": BLOCKS,
            "dropout": 0.0,
            "actor_learning_rate": LEARNING_RATE,
            "critic_learning_rate": LEARNING_RATE,
            "expectile": EXPECTILE,
            "diffusion_steps": STEPS,
            "tau": TAU,
            "ema": EMA,
        },
        compared="three updates without dropout; AdamW's decay is too small to be seen in them",
        version=COMMIT,
    )


def without_the_others(folder: Path) -> Any:
    """The learner's module, of packages whose other agents and data are not loaded."""
    for absent in ("gym", "jaxrl5.data", "jaxrl5.data.dataset"):
        sys.modules[absent] = mock.MagicMock()
    for name in ("jaxrl5.agents", "jaxrl5.agents.ddpm_iql_simple"):
        package = ModuleType(name)
        package.__path__ = [str(folder.joinpath(*name.split(".")))]
        sys.modules[name] = package
    return importlib.import_module("jaxrl5.agents.ddpm_iql_simple.ddpm_iql_learner")


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    idql(without_the_others(Path(sys.argv[1])))
