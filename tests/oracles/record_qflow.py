"""Records Q-Flow's own code: `python -m tests.oracles.record_qflow FOLDER`, a checkout of it.

It is jaehyeokdoo2/qflow at the commit below; nothing of it is part of this repository. No checkout
could be had: the folder was put together from single files. At hand were its `agents/qflow.py`,
`utils/networks.py` only as jeongsukchul/svgd_qc at 753dafa has it (`utils/qflow_networks.py`), and
of `utils/` the rest as it is in seohongpark/fql at 719d044.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any
from unittest import mock

import jax
import numpy as np
from torch import Tensor

from tests.oracles.flax_recording import arrays_of, drawing, perceptron, record
from tests.oracles.record_fql import COMPARED, average_of_the_new, created, trees
from tests.oracles.recording import ACTION_DIM, LEARNING_RATE, SETTINGS, TAU

COMMIT = "8e788e5"
FREQUENCIES = 3
COMMON = {"guidance_lambda": 0.7, "flow_steps": 3}
NAMES = {"critic": "critic", "flow": "actor_bc_flow", "inner_value": "tc_critic"}


def q_flow() -> None:
    kind = importlib.import_module("agents.qflow").QFlowAgent
    rng = np.random.default_rng(0)
    agent = created(
        kind,
        rng,
        **COMMON,
        q_agg="min",
        reward_scale=1.0,
        num_ensembles=2,
        actor_loss_type="grad",
        use_time_embed=True,
        time_embed_dim=2 * FREQUENCIES,
    )

    @jax.jit
    def update(agent: Any, batch: Any, noise: Any) -> Any:
        given = (noise[name] for name in ("next_z", "inner_x0", "inner_time", "x0", "time"))
        with drawing(*given), average_of_the_new(kind):
            return agent.update(batch)

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        nonlocal agent
        agent, info = update(agent, arrays_of(batch), arrays_of(noise))
        return {
            "critic/loss": float(info["critic/outer_loss"]),
            "inner_value/loss": float(info["critic/distillation_loss"]),
            "flow/loss": float(info["actor/total_loss"]),
        }

    record(
        "qflow",
        "q-flow",
        lambda: trees(agent, NAMES),
        step,
        rng,
        layers=perceptron,
        updates=3,
        noise={"next_z": ACTION_DIM, "x0": ACTION_DIM, "inner_x0": ACTION_DIM},
        uniform={"time": 1, "inner_time": 1},
        config={
            **SETTINGS,
            **COMMON,
            "learning_rate": LEARNING_RATE,
            "tau": TAU,
            "q_aggregation": "min",
            "time_frequencies": FREQUENCIES,
        },
        compared=f"{COMPARED}; the networks are those of jeongsukchul/svgd_qc at 753dafa",
        version=COMMIT,
    )


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    sys.modules["ml_collections"] = mock.MagicMock()
    q_flow()
