"""Records floq's own code: `python -m tests.oracles.record_floq FOLDER`, a checkout of it.

It is CMU-AIRe/floq at the commit below; nothing of it is part of this repository.
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

from tests.oracles.flax_recording import arrays_of, drawing, perceptron, record
from tests.oracles.record_fql import COMPARED, average_of_the_new, created, trees
from tests.oracles.recording import ACTION_DIM, BATCH, LEARNING_RATE, SETTINGS, TAU

COMMIT = "2e46108"
HIDDEN = (8, 8)  # the flow critic's layers are equally wide
SAMPLES, BINS = 2, 6
REWARDS = (-1.0, 0.5)
NAMES = {
    "critic": "critic",
    "flow": "actor_bc_flow",
    "actor": "actor_onestep_flow",
    "flow_critic": "floq",
}
COMMON = {
    "alpha": 2.5,
    "noise_samples": SAMPLES,
    "noise_coverage": 0.3,
    "critic_flow_steps": 4,
    "sigma": 2.0,
    "normalize_q_loss": True,
}


def floq() -> None:
    kind = importlib.import_module("agents.floq").FloQAgent
    rng = np.random.default_rng(0)
    agent = created(
        kind,
        rng,
        **COMMON,
        q_agg="min",
        actor_flow_steps=3,
        actor_hidden_dims=HIDDEN,
        value_hidden_dims=HIDDEN,
        block_width=HIDDEN[0],
        block_depth=len(HIDDEN),
        use_resnets=False,
        flow_num_ensembles=2,
        distill_num_ensembles=2,
        train_at_zero_only=False,
        embed_time=True,
        time_embed_dim=64,
        use_prob_embed=True,
        num_bins=BINS + 1,
        reward_offset=0.01,
        r_min=REWARDS[0],
        r_max=REWARDS[1],
    )

    @jax.jit
    def update(agent: Any, batch: Any, noise: Any) -> Any:
        given = [
            noise["next_z"].reshape(-1, ACTION_DIM),
            *(noise[name].reshape(-1, 1) for name in ("next_start", "start", "critic_time")),
            *(noise[name] for name in ("x0", "time", "z")),
            jnp.zeros((BATCH, ACTION_DIM)),  # of actions whose error is logged
        ]
        with drawing(*given), average_of_the_new(kind):
            return agent.update(batch)

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        nonlocal agent
        agent, info = update(agent, arrays_of(batch), arrays_of(noise))
        return {
            "flow_critic/loss": float(info["critic/floq_loss"]),
            "critic/loss": float(info["critic/distilled_critic_loss"]),
            "flow/loss": float(info["actor/bc_flow_loss"]),
            "actor/distill_loss": float(info["actor/distill_loss"]),
            "actor/q_loss": float(info["actor/q_loss"]),
        }

    record(
        "floq",
        "floq",
        lambda: trees(agent, NAMES, "flow_critic"),
        step,
        rng,
        layers=perceptron,
        updates=3,
        noise={"next_z": SAMPLES * ACTION_DIM, "x0": ACTION_DIM, "z": ACTION_DIM},
        uniform={"next_start": SAMPLES, "start": SAMPLES, "critic_time": SAMPLES, "time": 1},
        config={
            **SETTINGS,
            **COMMON,
            "hidden_dims": HIDDEN,
            "learning_rate": LEARNING_RATE,
            "tau": TAU,
            "flow_steps": 3,
            "q_aggregation": "min",
            "bins": BINS,
        },
        compared=COMPARED.replace("critic", "flow critic"),
        version=COMMIT,
        rewards=REWARDS,
    )


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    sys.modules["ml_collections"] = mock.MagicMock()
    floq()
