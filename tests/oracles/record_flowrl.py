"""Records BDPO's own code: `python -m tests.oracles.record_flowrl FOLDER`, a checkout of it.

It is typoverflow/flow-rl at the commit below; nothing of it is part of this repository.
"""

from __future__ import annotations

import functools
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
    BATCH,
    HIDDEN,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    TAU,
    Arrays,
)

COMMIT = "bae22f4"
WAVES, STEPS, SAMPLES, CRITICS = 4, 3, 2, 2
POLICY_EMA, BEHAVIOR_EMA, RHO, ETA, BOUND = 0.2, 0.1, 0.7, 0.4, 0.5
NAMES = {"behavior": "behavior", "policy": "actor", "critic": "q0", "value": "vt"}  # ours, theirs
PRETRAINING, WARM_UP, UPDATES = 1, 1, 4


def settings() -> Any:
    def trained(ema: float) -> Any:
        return SimpleNamespace(
            lr=LEARNING_RATE, lr_decay_steps=None, clip_grad_norm=BOUND, ema=ema, ema_every=1
        )

    return SimpleNamespace(
        warmup_steps=WARM_UP,
        temperature=0.0,
        diffusion=SimpleNamespace(
            actor=trained(POLICY_EMA),
            behavior=trained(BEHAVIOR_EMA),
            noise_schedule="vp",
            resnet=False,
            dropout=0.0,
            layer_norm=False,
            time_dim=WAVES,
            mlp_hidden_dims=HIDDEN,
            solver="ddpm",
            steps=STEPS,
            clip_sampler=True,
            x_min=-1.0,
            x_max=1.0,
        ),
        critic=SimpleNamespace(
            discount=SETTINGS["discount"],
            q_target="lcb",
            maxQ=False,
            ensemble_size=CRITICS,
            rho=RHO,
            eta=ETA,
            hidden_dims=HIDDEN,
            lr=LEARNING_RATE,
            lr_decay_steps=UPDATES - PRETRAINING,
            clip_grad_norm=BOUND,
            layer_norm=False,
            ema=TAU,
            ema_every=1,
            steps=STEPS,
            num_samples=SAMPLES,
            solver="ddpm",
            update_ratio=1,
        ),
    )


def layers(tree: Tree) -> Arrays:
    """By our names; what predicts noise is given (x, step, s), ours (s, x, step)."""
    if "noise_predictor" in tree:
        body, step = perceptron(tree["noise_predictor"]), perceptron(tree["MLP_0"])
        body["weight_0"] = np.roll(body["weight_0"], OBS_DIM, 1)
    else:
        tree = tree["base"]
        last = {f"Dense_{len(HIDDEN)}": tree["Dense_0"]}
        body = perceptron({**tree["backbone"], **last})
        step = perceptron(tree["MLP_0"]) if "MLP_0" in tree else {}
    if step:
        step["weight_0"] = np.roll(step["weight_0"], WAVES // 2, 1)  # sines come first in ours
    return {**body, **{f"step_{name}": array for name, array in step.items()}}


def bdpo(module: Any, batch_type: Any) -> None:
    rng = np.random.default_rng(1)
    agent = module.BDPOAgent(OBS_DIM, ACTION_DIM, settings(), 0)
    for name in agent.model_names:
        model = getattr(agent, name)
        state = model.state.replace(params=drawn(model.params, rng))
        setattr(agent, name, model.replace(state=state))

    def models() -> dict[str, Any]:
        return {name: getattr(agent, name) for name in ("rng", *agent.model_names)}

    def moved(found: Mapping[str, Any]) -> None:
        for name, model in found.items():
            setattr(agent, name, model)

    def noised(noise: Mapping[str, Any], name: str) -> list[Any]:
        steps = 1 + jnp.floor(STEPS * noise[f"{name}step"]).astype(int)
        return [steps, noise[f"{name}epsilon"]]

    def points(noise: Mapping[str, Any], name: str) -> Any:
        return noise[name].reshape(BATCH, SAMPLES, ACTION_DIM)

    @functools.partial(jax.jit, static_argnums=0)
    def update(done: int, before: Any, batch: Any, noise: Any) -> Any:
        moved(before)
        if done < PRETRAINING:
            with drawing(*noised(noise, "")):
                info = agent.pretrain_step(batch, done)
            return models(), info
        agent._n_training_steps = done - PRETRAINING
        chain = noise["next_sample"].reshape(BATCH, SAMPLES, STEPS * ACTION_DIM)
        nothing = jnp.zeros((BATCH, SAMPLES, ACTION_DIM))  # is drawn in the last step, not added
        given = [*jnp.split(chain, STEPS, -1), nothing]
        given += [*noised(noise, "value_"), points(noise, "value_point")]
        if agent._n_training_steps >= WARM_UP:
            given += [*noised(noise, "policy_"), points(noise, "policy_point")]
            given += noised(noise, "")
        with drawing(*given):
            info = agent.train_step(batch, done)
        return models(), info

    def step(number: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        done, arrays = number - 1, arrays_of(batch)
        if done == PRETRAINING:
            agent.prepare_training()
        theirs = batch_type(
            obs=arrays["observations"],
            action=arrays["actions"],
            reward=arrays["rewards"][:, None],
            terminal=1 - arrays["masks"][:, None],
            next_obs=arrays["next_observations"],
            next_action=arrays["next_actions"],
        )
        after, info = update(done, models(), theirs, arrays_of(noise))
        moved(after)
        losses = {
            "critic/loss": "loss/q0_loss",
            "value/loss": "loss/vt_loss",
            "policy/loss": "loss/actor_loss",
            "behavior/loss": "ddpm_loss",
        }
        return {ours: float(info[name]) for ours, name in losses.items() if name in info}

    def trees() -> dict[str, Any]:
        found = {}
        for ours, name in NAMES.items():
            state = getattr(agent, name).state
            found[f"params/{ours}"] = state.params
            found[f"targets/{ours}"] = getattr(agent, f"{name}_target").params
            found[f"adam_means/{ours}"] = state.opt_state[1][0].mu
        return found

    uniform = ("step", "value_step", "policy_step")
    record(
        "flowrl",
        "bdpo",
        trees,
        step,
        rng,
        layers=layers,
        updates=UPDATES,
        noise={
            "epsilon": ACTION_DIM,
            "next_sample": SAMPLES * STEPS * ACTION_DIM,
            "value_epsilon": ACTION_DIM,
            "value_point": SAMPLES * ACTION_DIM,
            "policy_epsilon": ACTION_DIM,
            "policy_point": SAMPLES * ACTION_DIM,
        },
        uniform=dict.fromkeys(uniform, 1),
        config={
            **SETTINGS,
            "policy_hidden_dims": HIDDEN,
            "policy_learning_rate": LEARNING_RATE,
            "behavior_learning_rate": LEARNING_RATE,
            "critic_learning_rate": LEARNING_RATE,
            "eta": ETA,
            "rho": RHO,
            "critics": CRITICS,
            "diffusion_steps": STEPS,
            "samples": SAMPLES,
            "policy_every": 1,
            "pretrain_share": PRETRAINING / UPDATES,
            "warmup_share": WARM_UP / UPDATES,
            "tau": TAU,
            "policy_ema": POLICY_EMA,
            "behavior_ema": BEHAVIOR_EMA,
            "max_grad_norm": BOUND,
        },
        constants={"baselines.bdpo._WAVES": WAVES},
        compared="four updates: one of pretraining, one of the critics alone, two of all; the "
        "policy's learning rate is constant",
        version=COMMIT,
    )


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    for absent in ("hydra", "hydra.core", "hydra.core.config_store", "omegaconf"):
        sys.modules[absent] = mock.MagicMock()
    bdpo(
        importlib.import_module("flowrl.agent.offline.bdpo.bdpo"),
        importlib.import_module("flowrl.types").Batch,
    )
