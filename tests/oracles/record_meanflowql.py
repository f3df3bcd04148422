"""Records MeanFlowQL's own code: `python -m tests.oracles.record_meanflowql FOLDER`, a checkout.

It is HiccupRL/MeanFlowQL at the commit below; nothing of it is part of this repository.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from torch import Tensor

from tests.oracles.flax_recording import Tree, arrays_of, drawing, drawn, perceptron, record
from tests.oracles.recording import (
    ACTION_DIM,
    BATCH,
    HIDDEN,
    OBS_DIM,
    SETTINGS,
    TAU,
    Arrays,
)

COMMIT = "3fab100"
UPDATES, CANDIDATES = 3, 3
WIDTH, BLOCKS = 6, 2
RATE, CRITIC_RATE = 1e-3, 3e-4  # the critic's is fixed there
ALPHA, POWER, BOUND_WEIGHT = 3.0, 0.25, 2.0
THEIRS = {
    "encoder": None,
    "num_candidates": CANDIDATES,
    "action_mode": "best",
    "value_hidden_dims": HIDDEN,
    "layer_norm": True,
    "actor_hidden_dims": WIDTH,
    "actor_depth": BLOCKS,
    "actor_num_heads": 2,
    "tanh_squash": False,
    "use_output_layernorm": False,
    "lr": RATE,
    "lr_min_ratio": 0.0,
    "discount": SETTINGS["discount"],
    "tau": TAU,
    "alpha": ALPHA,
    "use_dynamic_alpha": True,  # which it is in none of these updates
    "adaptive_gamma": 1 - POWER,
    "adaptive_c": 1e-4,
    "bound_loss_weight": BOUND_WEIGHT,
    "consistency_alpha": 0.0,
    "time_steps": 10_000,
    "q_agg": "min",
    "normalize_q_loss": True,
}


@contextlib.contextmanager
def without_position(policy: Any) -> Iterator[None]:
    """No vector for the token's position, which the method's file lists; it is the one `param`."""
    with mock.patch.object(policy, "param", return_value=jnp.zeros((1, 1, WIDTH))):
        yield


def created(official: Any, rng: np.random.Generator) -> Any:
    """An agent with drawn weights, whose rate goes down to 0 without a warm-up."""
    steps = SimpleNamespace(offline_steps=UPDATES, pretrain_factor=0, online_steps=0)
    observations, actions = np.zeros((1, OBS_DIM)), np.zeros((1, ACTION_DIM))
    with mock.patch("absl.flags.FLAGS", steps):
        agent = official.MeanFlowQL_Agent.create(0, observations, actions, dict(THEIRS))
    network = agent.network
    return agent.replace(network=network.replace(params=drawn(network.params, rng)))


def one_by_one(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """In place of `jax.vmap`, which would give one draw to all candidates."""
    return lambda keys: jnp.stack([function(key) for key in keys])


def transformer(tree: Tree) -> Arrays:
    """By our names; of attention, what one token's is made of: its values, and the layer behind."""
    arrays: Arrays = {}

    def add(name: str, layer: Tree, part: slice = slice(None)) -> None:
        arrays[f"weight_{name}"] = np.array(layer["kernel"])[None, :, part]
        arrays[f"bias_{name}"] = np.array(layer["bias"])[None, None, part]

    last = tree["FinalLayer_0"]
    add("in", tree["FeatureEmbed_0"]["Dense_0"])
    add("time_0", tree["t_embedder"]["Dense_0"])
    add("time_1", tree["t_embedder"]["Dense_1"])
    for i in range(BLOCKS):
        block = tree[f"blocks_{i}"]
        attention, mlp = block["Attention_0"], block["MlpBlock_0"]
        add(f"modulate_{i}", block["Dense_0"])
        add(f"value_{i}", attention["qkv"], slice(2 * WIDTH, None))
        add(f"mixed_{i}", attention["Dense_0"])
        add(f"wide_{i}", mlp["Dense_0"])
        add(f"narrow_{i}", mlp["Dense_1"])
        arrays[f"scale_attention_{i}"] = np.array(block["RMSNorm_0"]["g"])
        arrays[f"scale_mlp_{i}"] = np.array(block["RMSNorm_1"]["g"])
    add("modulate_out", last["Dense_0"])
    add("out", last["Dense_1"])
    arrays["scale_out"] = np.array(last["RMSNorm_0"]["g"])
    return arrays


def layers(tree: Tree) -> Arrays:
    return transformer(tree) if "t_embedder" in tree else perceptron(tree)


def trees(agent: Any) -> dict[str, Any]:
    network = agent.network
    found = {"targets/critic": network.params["modules_target_critic"]}
    for ours, theirs in {"critic": "critic", "actor": "actor_bc_flow"}.items():
        _, (adam, _) = network.opt_state.inner_states[ours].inner_state
        found[f"params/{ours}"] = network.params[f"modules_{theirs}"]
        found[f"adam_means/{ours}"] = adam.mu[f"modules_{theirs}"]
    return found


def main() -> None:
    official = importlib.import_module("agents.meanflowql")
    rng = np.random.default_rng(2)
    agent = created(official, rng)
    drawn_one_by_one = SimpleNamespace(**{**vars(jax), "vmap": one_by_one})

    @jax.jit
    def update(agent: Any, batch: Any, noise: Any) -> Any:
        candidates = jnp.split(noise["next_z"], CANDIDATES, -1)
        times = [jnp.zeros(BATCH, int)] * 2  # of the consistency loss, whose weight is 0
        of_consistency = (*times, jnp.zeros((BATCH, ACTION_DIM)))
        draws = (*candidates, noise["time"], noise["e"], *of_consistency, noise["z"])
        with drawing(*draws), mock.patch.object(official, "jax", drawn_one_by_one):
            return agent.update(batch)

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        nonlocal agent
        agent, info = update(agent, arrays_of(batch), arrays_of(noise))
        return {
            "critic/loss": float(info["critic/critic_loss"]),
            "actor/bc_loss": float(info["meanflow/mean_flow_loss"]),
            "actor/q_loss": float(info["actor/q_loss"]),
            "actor/bound_loss": float(info["actor/bound_loss"]),
        }

    record(
        "meanflowql",
        "mean-flow",
        lambda: trees(agent),
        step,
        rng,
        layers=layers,
        updates=UPDATES,
        noise={"next_z": CANDIDATES * ACTION_DIM, "e": ACTION_DIM, "z": ACTION_DIM},
        uniform={"time": 1},
        config={
            **SETTINGS,
            "actor_dim": WIDTH,
            "actor_blocks": BLOCKS,
            "learning_rate": RATE,
            "warmup_steps": 1,
            "critic_learning_rate": CRITIC_RATE,
            "alpha": ALPHA,
            "power": POWER,
            "bound_weight": BOUND_WEIGHT,
            "candidates": CANDIDATES,
            "tau": TAU,
            "q_aggregation": "min",
            "normalize_q_loss": True,
        },
        compared="three updates along the cosine, without a warm-up; the policy without a vector "
        "for its token's position, and α constant",
        version=COMMIT,
    )


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    sys.modules["ml_collections"] = mock.MagicMock()
    with without_position(importlib.import_module("utils.dit_jax").MFDiT_SIM):
        main()
