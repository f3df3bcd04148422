"""CORL's own IQL update, imported from a checkout of tinkoff-ai/CORL or corl-team/CORL.

Nothing of CORL is part of this project. Modules its script imports but an update does not need
(environments, logging, command line) are replaced by empty stand-ins.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from algorithms.transitions import Transitions
from harness.errors import UserError


class _StandIn(types.ModuleType):
    """A module of which every public name exists and nothing does anything."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def corl_iql(folder: str, transitions: Transitions) -> Callable[[int], None]:
    """A function that takes `n` of CORL's IQL training steps, sampling included."""
    script = Path(folder) / "algorithms" / "offline" / "iql.py"
    if not script.exists():
        raise UserError(f"{script} does not exist; give the folder of a checkout of CORL.")
    for name in ("d4rl", "gym", "wandb"):
        sys.modules[name] = _StandIn(name)
    command_line = types.ModuleType("pyrallis")
    command_line.wrap = lambda: lambda function: function  # type: ignore[attr-defined]
    sys.modules["pyrallis"] = command_line
    spec = importlib.util.spec_from_file_location("corl_iql", script)
    assert spec is not None
    assert spec.loader is not None
    corl: Any = importlib.util.module_from_spec(spec)
    sys.modules["corl_iql"] = corl
    spec.loader.exec_module(corl)

    config = corl.TrainConfig(device="cpu")
    obs, act = transitions.obs_dim, transitions.action_dim
    buffer = corl.ReplayBuffer(obs, act, len(transitions), "cpu")
    buffer.load_d4rl_dataset(
        {
            "observations": transitions.observations,
            "actions": transitions.actions,
            "rewards": transitions.rewards,
            "next_observations": transitions.next_observations,
            "terminals": transitions.terminals,
        }
    )
    q, v = corl.TwinQ(obs, act), corl.ValueFunction(obs)
    actor = corl.GaussianPolicy(obs, act, 1.0)
    adam = torch.optim.Adam
    trainer = corl.ImplicitQLearning(
        max_action=1.0,
        actor=actor,
        actor_optimizer=adam(actor.parameters(), lr=config.actor_lr),
        q_network=q,
        q_optimizer=adam(q.parameters(), lr=config.qf_lr),
        v_network=v,
        v_optimizer=adam(v.parameters(), lr=config.vf_lr),
        iql_tau=config.iql_tau,
        beta=config.beta,
        max_steps=config.max_timesteps,
        discount=config.discount,
        tau=config.tau,
        device="cpu",
    )

    def run(updates: int) -> None:
        for _ in range(updates):
            trainer.train(buffer.sample(config.batch_size))

    return run
