"""Records EDP's own code: `python -m tests.oracles.record_edp FOLDER`, a checkout of it.

It is sail-sg/edp at the commit below; nothing of it is part of this repository.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
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
    HIDDEN,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    TAU,
    Arrays,
)

COMMIT = "b019648"
WAVES, STEPS, ALPHA = 16, 20, 2.5
FIRST_TIME = 1e-3  # of ours
TIMES = [(i + 1) / STEPS for i in range(STEPS // 2)]  # later, a guess is mostly its bound


class ConfigDict(dict[str, Any]):
    """What the agent needs of `ml_collections`."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__  # type: ignore[assignment]
    copy_and_resolve_references = dict.copy


def limit(_: str, steps: int) -> Any:
    """Betas with which the chain's signal is that of its limit in continuous time, as ours is."""
    time = np.arange(steps + 1) / steps
    return -np.expm1(np.diff(-time * (0.1 + 0.5 * 19.9 * time)))


def waves(steps: Any, dim: int) -> Any:
    """With our frequencies, which fall to 1e-4."""
    angles = steps[:, None] * jnp.exp(-jnp.log(10_000) * jnp.arange(dim // 2) / (dim // 2 - 1))
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)


def untold(policy: Any, _: Any, observations: Any, *__: Any) -> Any:
    """In place of next actions, which are worth nothing at a discount of 0."""
    actions = jnp.zeros((len(observations), ACTION_DIM))
    return 0 * policy.base_net(observations, actions, jnp.zeros(len(observations)))


def both(_: Any, one: Any, other: Any) -> Any:
    """The mean of what a coin decides between."""
    return jax.tree.map(lambda a, b: (a + b) / 2, one(), other())


def layers(tree: Tree) -> Arrays:
    if "qf1" in tree:
        one, other = (perceptron(tree[name]["params"]) for name in ("qf1", "qf2"))
        return {name: np.concatenate([one[name], other[name]]) for name in one}
    if "base_net" not in tree["params"]:
        return perceptron(tree)
    network = tree["params"]["base_net"]
    step = perceptron(network["TimeEmbedding_0"])
    step["weight_0"] = np.roll(step["weight_0"], WAVES // 2, 1)  # sines come first in ours
    body = perceptron({k: v for k, v in network.items() if k != "TimeEmbedding_0"})
    return {**body, **{f"step_{name}": array for name, array in step.items()}}


def agent_of(nets: Any, diffusion: Any, kind: Any, **settings: Any) -> Any:
    chain = diffusion.GaussianDiffusion(
        num_timesteps=STEPS,
        schedule_name="",
        model_mean_type=diffusion.ModelMeanType.EPSILON,
        model_var_type=diffusion.ModelVarType.FIXED_SMALL,
        loss_type=diffusion.LossType.MSE,
    )
    equal = {"tau": TAU, "lr": LEARNING_RATE, "max_grad_norm": 0.0, "weight_decay": 0.0}
    return kind(
        ConfigDict(**equal, **settings),
        nets.DiffusionPolicy(chain, OBS_DIM, ACTION_DIM, HIDDEN, WAVES),
        nets.Critic(OBS_DIM, ACTION_DIM, HIDDEN),
        nets.Value(OBS_DIM, HIDDEN),
        nets.GaussianPolicy(ACTION_DIM),
    )


def edp(
    modules: SimpleNamespace,
    networks: Mapping[str, tuple[str, ...]],
    averaged: tuple[str, ...],
    theirs: Mapping[str, Any],
    ours: Mapping[str, Any],
    **facts: Any,
) -> None:
    """networks: theirs by our names. averaged: those of ours that have a target network."""
    rng = np.random.default_rng(0)
    modules.jax_utils.init_rng(0)
    agent = agent_of(modules.nets, modules.diffusion, modules.dql.DiffusionQL, **theirs)
    states = {
        name: state.replace(params=drawn(state.params, rng))
        for name, state in agent.train_states.items()
    }
    targets = {name: drawn(params, rng) for name, params in agent._tgt_params.items()}

    @jax.jit
    def update(states: Any, targets: Any, batch: Any, noise: Any) -> Any:
        time = FIRST_TIME + (1 - FIRST_TIME) * noise["time"][:, 0]
        steps = jnp.round(STEPS * time).astype(int) - 1
        given = [steps, noise["epsilon"]]
        # TD3's has a coin; IQL's loss is evaluated twice, with the same draws.
        given += [jnp.zeros(())] if agent.config.loss_type == "TD3" else given
        key = jax.random.PRNGKey(0)
        with drawing(*given), mock.patch("jax.lax.cond", both):
            return agent._train_step(states, targets, key, batch, True)

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        nonlocal states, targets
        given = arrays_of(batch)
        given["dones"] = 1 - given.pop("masks")
        states, targets, info = update(states, targets, given, arrays_of(noise))
        losses = {
            "actor/bc_loss": "diff_loss",
            "actor/q_loss": "guide_loss",
            "value/loss": "vf_loss",
        }
        found = {name: float(info[of]) for name, of in losses.items() if of in info}
        return {**found, "critic/loss": float(info["qf1_loss"] + info["qf2_loss"])}

    def trees() -> dict[str, Any]:
        params = {name: state.params for name, state in states.items()}
        means = {name: state.opt_state[0].mu for name, state in states.items()}
        found = {}
        for group, of in (("params", params), ("targets", targets), ("adam_means", means)):
            for name in averaged if group == "targets" else networks:
                parts = {part: of[part] for part in networks[name]}
                found[f"{group}/{name}"] = parts if len(parts) > 1 else of[networks[name][0]]
        return found

    record(
        "edp",
        "edp",
        trees,
        step,
        rng,
        layers=layers,
        updates=3,
        noise={"epsilon": ACTION_DIM},
        chosen={"time": [(time - FIRST_TIME) / (1 - FIRST_TIME) for time in TIMES]},
        config={
            **SETTINGS,
            "learning_rate": LEARNING_RATE,
            "tau": TAU,
            "max_grad_norm": 1e6,
            **ours,
        },
        constants={"baselines.edp._STEPS": STEPS},
        version=COMMIT,
        **facts,
    )


def td3(modules: SimpleNamespace) -> None:
    edp(
        modules,
        {"actor": ("policy",), "critic": ("qf1", "qf2")},
        ("actor", "critic"),
        {"discount": 0.0, "alpha": ALPHA, "loss_type": "TD3"},
        {"discount": 0.0, "alpha": ALPHA, "ema": TAU},
        compared="three updates of TD3's learner at a discount of 0, as next actions are drawn "
        "otherwise; with our noise schedule and frequencies, the mean of both sides of its coin, "
        "without a bound of gradients, and with the policy's average moved in every update",
    )


def iql(modules: SimpleNamespace) -> None:
    discount = SETTINGS["discount"]
    edp(
        modules,
        {"actor": ("policy",), "critic": ("qf1", "qf2"), "value": ("vf",)},
        ("critic",),
        {"discount": discount, "loss_type": "IQL", "expectile": 0.8, "awr_temperature": 1.5},
        {"learner": "iql", "expectile": 0.8, "iql_temperature": 1.5},
        variant="iql",
        compared="three updates of IQL's learner with our noise schedule and frequencies, without "
        "a bound of gradients",
    )


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    sys.modules["ml_collections"] = mock.MagicMock(ConfigDict=ConfigDict)
    loaded = SimpleNamespace(
        jax_utils=importlib.import_module("utilities.jax_utils"),
        diffusion=importlib.import_module("diffusion.diffusion"),
        nets=importlib.import_module("diffusion.nets"),
        dql=importlib.import_module("diffusion.dql"),
    )
    # What JAX no longer has: `tree_multimap`, and axes that are a list.
    jax.tree_multimap = jax.tree.map
    loaded.diffusion.mean_flat = lambda x: x.mean(tuple(range(1, x.ndim)))
    loaded.diffusion.get_named_beta_schedule = limit
    loaded.nets.sinusoidal_embedding = waves
    loaded.nets.DiffusionPolicy.ddpm_sample = untold
    for recorder in (td3, iql):
        recorder(loaded)
