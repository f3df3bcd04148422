"""Records DAC's own code: `python -m tests.oracles.record_dac FOLDER`, a checkout of it.

It is Fang-Lin93/DAC at the commit below; nothing of it is part of this repository.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
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
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    TAU,
    Arrays,
)

COMMIT = "e254357"
STEPS, SAMPLES, WAVES, UPDATES = 3, 2, 16, 3
ETA = 1.3
EQUAL = {"eta": ETA, "bc_threshold": 0.3, "rho": 0.7}  # settings that are called the same


def layers(tree: Tree) -> Arrays:
    if "log" in tree:
        return {"log": np.array(tree["log"]).reshape(1)}
    tree = tree["params"]
    if "VmapQNet_0" in tree:
        return perceptron(tree["VmapQNet_0"]["MLP_0"])
    step, body = perceptron(tree["MLP_0"]), perceptron(tree["MLP_1"])
    step["weight_0"] = np.roll(step["weight_0"], WAVES // 2, 1)  # sines come first in ours
    return {**body, **{f"step_{name}": array for name, array in step.items()}}


def dac(kind: Any, batch_type: Any) -> None:
    rng = np.random.default_rng(0)
    agent = kind(
        jnp.zeros((1, OBS_DIM)),
        jnp.zeros((1, ACTION_DIM)),
        0,
        actor_lr=LEARNING_RATE,
        critic_lr=LEARNING_RATE,
        hidden_dims=HIDDEN,
        clip_grad_norm=0.5,
        discount=SETTINGS["discount"],
        ema_tau=TAU,
        update_ema_every=1,
        step_start_ema=-1,
        eta_lr=0.1,
        T=STEPS,
        ddim_step=STEPS,
        num_q_samples=SAMPLES,
        time_dim=WAVES,
        lr_decay_steps=UPDATES,
        num_qs=2,
        **EQUAL,
    )
    for name in agent.model_names:
        model = getattr(agent, name)
        setattr(agent, name, model.replace(params=drawn(model.params, rng)))

    def moved(found: Mapping[str, Any]) -> None:
        for name, part in found.items():
            setattr(agent, name, part)

    def parts() -> dict[str, Any]:
        return {name: getattr(agent, name) for name in ("rng", "eta", *agent.model_names)}

    @jax.jit
    def update(before: Any, batch: Any, noise: Any) -> Any:
        moved(before)
        chain = noise["next_sample"].reshape(BATCH * SAMPLES, STEPS * ACTION_DIM)
        nothing = jnp.zeros((BATCH * SAMPLES, ACTION_DIM))  # is drawn in the last step, not added
        steps = 1 + jnp.floor(STEPS * noise["step"][:, 0]).astype(int)
        with drawing(*jnp.split(chain, STEPS, -1), nothing, steps, noise["epsilon"]):
            info = agent.update(batch)
        return parts(), info

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        given = arrays_of(batch)
        theirs = batch_type(*(given[name] for name in batch_type._fields))
        after, info = update(parts(), theirs, arrays_of(noise))
        moved(after)
        losses = {
            "critic/loss": "critic_loss",
            "actor/bc_loss": "bc_loss",
            "actor/guidance_loss": "guidance_loss",
        }
        return {ours: float(info[name]) for ours, name in losses.items()}

    def trees() -> dict[str, Any]:
        found = {"params/eta": {"log": jnp.log(agent.eta)}}
        for name in ("actor", "critic"):
            model = getattr(agent, name)
            found[f"params/{name}"] = model.params
            found[f"targets/{name}"] = getattr(agent, f"{name}_tar").params
            found[f"adam_means/{name}"] = model.opt_state[1][0].mu
        return found

    record(
        "dac",
        "dac",
        trees,
        step,
        rng,
        layers=layers,
        updates=UPDATES,
        noise={"next_sample": SAMPLES * STEPS * ACTION_DIM, "epsilon": ACTION_DIM},
        uniform={"step": 1},
        config={
            **SETTINGS,
            **EQUAL,
            "learning_rate": LEARNING_RATE,
            "critic_learning_rate": LEARNING_RATE,
            "eta_step": 0.1,
            "diffusion_steps": STEPS,
            "critics": 2,
            "samples": SAMPLES,
            "tau": TAU,
            "ema": TAU,
            "max_grad_norm": 0.5,
        },
        compared="three updates, each of which moves the policy's average",
        version=COMMIT,
    )


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    sys.modules["datasets"] = mock.MagicMock()
    dac(
        importlib.import_module("agents.dac").DACLearner,
        importlib.import_module("networks.types").Batch,
    )
