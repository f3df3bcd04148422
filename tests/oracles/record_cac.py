"""Records Consistency-AC's own code: `python -m tests.oracles.record_cac FOLDER`, a checkout of it.

It is quantumiracle/Consistency_Model_For_Reinforcement_Learning at the commit below; nothing of it
is part of this repository.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from tests.oracles.record_diffusion import EMA, arrays_of, narrow_agent, update
from tests.oracles.recording import (
    ACTION_DIM,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    TAU,
    Arrays,
    Step,
    record,
)

COMMIT = "cdeae87"
STEPS = 3
CURRICULUM = 3  # updates: with 2, 87 and 123 levels of noise, then with 2 again
ETA = 0.7
SMALL = 0.1


def stepper(agent: Any, official: Any) -> Step:
    """official: the module of the agent."""
    levels = official.timesteps_schedule

    def step(k: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        chain, following = (noise[name].split(ACTION_DIM, -1) for name in ("sample", "next_sample"))
        done = (k - 1) % CURRICULUM  # updates, of one call for so many
        with mock.patch.object(
            official, "timesteps_schedule", lambda *_, **most: levels(done, CURRICULUM, **most)
        ):
            return update(
                agent,
                batch,
                [*following, *chain, noise["epsilon"]],
                lambda _, high, *__, **___: (high * noise["step"]).long(),
            )

    return step


def main() -> None:
    official = importlib.import_module("agents.ql_consistency")
    agent = official.Consistency_QL(
        OBS_DIM,
        ACTION_DIM,
        1.0,
        "cpu",
        discount=SETTINGS["discount"],
        tau=TAU,
        eta=ETA,
        n_timesteps=STEPS,
        ema_decay=1 - EMA,
        step_start_ema=0,
        update_ema_every=1,
        lr=LEARNING_RATE,
        grad_norm=0,
        q_norm=True,
    )
    parts = narrow_agent(agent, "ema_actor")

    def prepare(_: Arrays) -> None:
        """Small outputs, as inputs go to 80 times 3: most samples are within their bounds."""
        for policy in (agent.actor, agent.ema_actor):
            for parameter in policy.model.final_layer.parameters():
                parameter.data *= SMALL

    record(
        "cac",
        "cac",
        parts,
        [agent.actor_optimizer, agent.critic_optimizer],
        stepper(agent, official),
        updates=CURRICULUM + 1,
        noise={
            "next_sample": STEPS * ACTION_DIM,
            "epsilon": ACTION_DIM,
            "sample": STEPS * ACTION_DIM,
        },
        uniform={"step": 1},
        config={
            **SETTINGS,
            "learning_rate": LEARNING_RATE,
            "critic_learning_rate": LEARNING_RATE,
            "eta": ETA,
            "diffusion_steps": STEPS,
            "curriculum_steps": CURRICULUM,
            "normalize_backups": True,
            "tau": TAU,
            "ema": EMA,
            "max_grad_norm": 1e6,
        },
        compared="four updates, the last with the curriculum begun anew, of normalised backups, "
        "without a bound of gradients, the policy's by the mean of both sides of its coin, and "
        "with its average moved in every update",
        prepare=prepare,
        layers=arrays_of,
        oracle="official code",
        version=COMMIT,
        seed=3,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sys.path.insert(0, sys.argv[1])
    sys.modules["utils.logger"] = mock.MagicMock()
    main()
