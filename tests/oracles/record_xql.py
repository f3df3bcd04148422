"""Records XQL's own code: `python -m tests.oracles.record_xql FOLDER`, a checkout of it.

It is Div99/XQL at the commit below; nothing of it is part of this repository.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any
from unittest import mock

import flax
import jax
import jax.numpy as jnp
import numpy as np
import optax
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

COMMIT = "dff09af"
UPDATES = 3
BETA, BOUND, TEMPERATURE, NOISE = 0.5, 1.5, 3.0, 0.4
WEIGHT_BOUND, HUBER = 1.0, 1.0  # in place of 100 and 20, which numbers around 1 do not reach
TRAINED = ("value", "actor", "critic")
STATES = (*TRAINED, "target_critic")
OURS = {**SETTINGS, "learning_rate": LEARNING_RATE, "tau": TAU, "max_weight": WEIGHT_BOUND}
COMPARED = (
    "three updates along the cosine, without dropout; weights are bounded by "
    f"{WEIGHT_BOUND:g} in place of 100, and Adam's 1 − βᵗ is not rounded as optax rounds it"
)


def unrounded(moment: Any, decay: float, count: Any) -> Any:
    """Adam's moment over 1 − βᵗ, which optax subtracts in single precision."""
    correction = -jnp.expm1(count * np.float32(np.log(decay)))
    return jax.tree.map(lambda m: m / correction, moment)


def scaled(own: Callable[..., Any], factor: float) -> Callable[..., Any]:
    """The function, with that many times a bound that is written as a decimal number."""
    return lambda x, *bounds: own(x, *(factor * b if isinstance(b, float) else b for b in bounds))


def loaded(folder: str) -> SimpleNamespace:
    """The modules. What JAX and Flax no longer do as they did is given back."""
    sys.path.insert(0, folder)
    jax.tree_multimap = jax.tree.map
    flax.config.update("flax_return_frozendict", True)
    optax.tree.bias_correction = unrounded
    names = ("common", "actor", "critic", "learner")
    with mock.patch("jax.jit", lambda function, **_: function):  # refuses what they ask it
        modules = {name: importlib.import_module(name) for name in names}
    bounds = {name: scaled(getattr(jnp, name), WEIGHT_BOUND / 100) for name in ("minimum", "clip")}
    modules["actor"].jnp = SimpleNamespace(**{**vars(jnp), **bounds})
    return SimpleNamespace(**modules)


def created(kind: Any, rng: np.random.Generator, **config: Any) -> Any:
    """A learner with drawn weights."""
    learner = kind(
        0,
        np.zeros((1, OBS_DIM)),
        np.zeros((1, ACTION_DIM)),
        actor_lr=LEARNING_RATE,
        value_lr=LEARNING_RATE,
        critic_lr=LEARNING_RATE,
        hidden_dims=HIDDEN,
        discount=SETTINGS["discount"],
        tau=TAU,
        layernorm=True,
        max_steps=UPDATES,
        **config,
    )
    for name in STATES:
        state = getattr(learner, name)
        setattr(learner, name, state.replace(params=drawn(state.params, rng)))
    return learner


def updating(learner: Any, batch_kind: Any) -> Callable[..., dict[str, float]]:
    """Takes an update, given the batch and what the learner draws, and returns its losses."""

    def moved(found: Mapping[str, Any]) -> None:
        for name, part in found.items():
            setattr(learner, name, part)

    def parts() -> dict[str, Any]:
        return {name: getattr(learner, name) for name in ("rng", *STATES)}

    @jax.jit
    def update(before: Any, batch: Any, draws: Any) -> Any:
        moved(before)
        with drawing(*draws):
            info = learner.update(batch)
        return parts(), info

    def take(batch: Mapping[str, Tensor], *draws: Any) -> dict[str, float]:
        given = arrays_of(batch)
        theirs = batch_kind(*(given[name] for name in batch_kind._fields))
        after, info = update(parts(), theirs, draws)
        moved(after)
        return {f"{name}/loss": float(info[f"{name}_loss"]) for name in TRAINED}

    return take


def layers(tree: Tree) -> Arrays:
    if "Critic_0" in tree:
        one, other = (perceptron(tree[name]) for name in ("Critic_0", "Critic_1"))
        return {name: np.concatenate([one[name], other[name]]) for name in one}
    if "log_stds" in tree:
        log_std = np.array(tree["log_stds"]).reshape(1, 1, -1)
        mean = perceptron({**tree["MLP_0"], f"Dense_{len(HIDDEN)}": tree["Dense_0"]})
        return {**mean, "log_std": log_std}
    return perceptron(tree)


def trees(learner: Any) -> dict[str, Any]:
    found = {"targets/critic": learner.target_critic.params}
    for name in TRAINED:
        state = getattr(learner, name)
        found[f"params/{name}"] = state.params
        found[f"adam_means/{name}"] = state.opt_state[0].mu
    return found


def xql(modules: SimpleNamespace, variant: str = "", also: str = "") -> None:
    """variant: what V's loss sees but for the data's actions, if anything."""
    rng = np.random.default_rng(0)
    noisy, more = (variant == name for name in ("noise", "uniform"))
    options = {
        "max_clip": BOUND,
        "noise": noisy,
        "noise_std": NOISE,
        "sample_random_times": int(more),
        "num_v_updates": 1,
        "log_loss": False,
        "grad_pen": False,
    }
    learner = created(
        modules.learner.Learner,
        rng,
        loss_temp=BETA,
        temperature=TEMPERATURE,
        vanilla=False,
        args=SimpleNamespace(**options),
    )
    take = updating(learner, modules.common.Batch)

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        draws = arrays_of(noise)
        if more:
            draws["uniform"] = 2 * draws["uniform"] - 1
        return take(batch, *draws.values())

    record(
        "xql",
        "xql",
        lambda: trees(learner),
        step,
        rng,
        layers=layers,
        updates=UPDATES,
        noise={"value_noise": ACTION_DIM} if noisy else {},
        uniform={"uniform": ACTION_DIM} if more else {},
        config={
            **OURS,
            "beta": BETA,
            "max_exponent": BOUND,
            "temperature": TEMPERATURE,
            "value_noise": NOISE if noisy else 0.0,
            "uniform_actions": more,
        },
        constants={"baselines.xql._HUBER": HUBER},
        compared=f"{COMPARED}; Huber's bound is {HUBER:g} in place of 20{also}",
        version=COMMIT,
        variant=variant,
    )


if __name__ == "__main__":
    found = loaded(f"{sys.argv[1]}/offline")
    own = found.critic.huber_loss
    found.critic.huber_loss = lambda x, delta: own(x, delta * HUBER / 20)
    xql(found)
    xql(found, "noise", "; with noise on the actions in V's loss")
    xql(found, "uniform", "; with uniform actions in V's loss too")
