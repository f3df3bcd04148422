"""Records Diffusion-QL's own code: `python -m tests.oracles.record_diffusion FOLDER`, a checkout.

It is Zhendong-Wang/Diffusion-Policies-for-Offline-RL at the commit below; nothing of it is part of
this repository.
"""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from tests.oracles import recording
from tests.oracles.recording import (
    ACTION_DIM,
    BATCH,
    HIDDEN,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    TAU,
    Arrays,
    Given,
    drawing,
    perceptron,
)

COMMIT = "d871f5c"
STEPS, EMBEDDING, EMA = 3, 16, 0.1


def layers(*inputs: int) -> list[nn.Module]:
    """In place of layers of 256 units; Mish after each, as in the official networks."""
    dims = (sum(inputs), *HIDDEN)
    pairs = ((nn.Linear(*dims[i : i + 2]), nn.Mish()) for i in range(len(HIDDEN)))
    return [layer for pair in pairs for layer in pair]


def narrow_actor(agent: Any) -> None:
    """Its network of the noise, with fewer units."""
    agent.model.mid_layer = nn.Sequential(*layers(OBS_DIM, ACTION_DIM, EMBEDDING))
    agent.model.final_layer = nn.Linear(HIDDEN[-1], ACTION_DIM)
    agent.actor_optimizer = torch.optim.Adam(agent.actor.parameters(), lr=LEARNING_RATE)


def critic() -> nn.Module:
    return nn.Sequential(*layers(OBS_DIM, ACTION_DIM), nn.Linear(HIDDEN[-1], 1))


def arrays_of(module: nn.Module, read: Callable[[Tensor], Tensor]) -> Arrays:
    """By our names; the official network is given (x, step, s), ours (s, x, step)."""
    if not hasattr(module, "model"):
        return perceptron(module, read)
    network = module.model
    embedding, body = (
        perceptron(nn.ModuleList(parts), read)
        for parts in ([network.time_mlp], [network.mid_layer, network.final_layer])
    )
    body["weight_0"] = np.roll(body["weight_0"], OBS_DIM, 0)
    return {**body, **{f"step_{name}": array for name, array in embedding.items()}}


def narrow_agent(agent: Any, average: str) -> recording.Parts:
    """Its networks, with fewer units. average: what it calls that of the policy."""
    narrow_actor(agent)
    agent.critic.q1_model, agent.critic.q2_model = critic(), critic()
    agent.critic_optimizer = torch.optim.Adam(agent.critic.parameters(), lr=LEARNING_RATE)
    setattr(agent, average, copy.deepcopy(agent.actor))
    agent.critic_target = copy.deepcopy(agent.critic)
    return {
        "params/actor": [agent.actor],
        "params/critic": [agent.critic.q1_model, agent.critic.q2_model],
        "targets/actor": [getattr(agent, average)],
        "targets/critic": [agent.critic_target.q1_model, agent.critic_target.q2_model],
    }


def update(
    agent: Any, batch: Mapping[str, Tensor], draws: Sequence[Tensor], randint: Callable[..., Tensor]
) -> dict[str, float]:
    """An update with the gradient of the policy that its coin would lead to; its losses."""
    sides, losses = [], []
    for coin in (0.0, 1.0):
        side = copy.deepcopy(agent)
        with (
            drawing(*draws),
            mock.patch("numpy.random.uniform", return_value=coin),
            mock.patch("torch.randint", randint),
        ):
            losses.append(side.train(Given(batch), 1, BATCH))
        sides.append(side)
    for name in ("critic", "critic_target", "critic_optimizer"):  # alike on both sides
        getattr(agent, name).load_state_dict(getattr(sides[0], name).state_dict())
    parameters = (list(owner.actor.parameters()) for owner in (agent, *sides))
    for mine, one, other in zip(*parameters, strict=True):
        mine.grad = (one.grad + other.grad) / 2
    agent.actor_optimizer.step()
    agent.step_ema()
    return {
        "critic/loss": losses[0]["critic_loss"][0],
        "actor/bc_loss": losses[0]["bc_loss"][0],
        "actor/q_loss": sum(found["ql_loss"][0] for found in losses) / 2,
    }


def stepper(agent: Any) -> recording.Step:
    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        nothing = torch.zeros(BATCH, ACTION_DIM)  # is drawn in the last step, and not added
        chain, following = (
            [*noise[name].split(ACTION_DIM, -1), nothing] for name in ("sample", "next_sample")
        )
        times = (STEPS * noise["step"][:, 0]).long()
        draws = [*following, noise["epsilon"], *chain]
        return update(agent, batch, draws, lambda *_, **__: times)

    return step


def diffusion_ql() -> None:
    agent = importlib.import_module("agents.ql_diffusion").Diffusion_QL(
        OBS_DIM,
        ACTION_DIM,
        1.0,
        "cpu",
        discount=SETTINGS["discount"],
        tau=TAU,
        eta=0.7,
        beta_schedule="vp",
        n_timesteps=STEPS,
        ema_decay=1 - EMA,
        step_start_ema=0,
        update_ema_every=1,
        lr=LEARNING_RATE,
        grad_norm=0,
    )
    parts = narrow_agent(agent, "ema_model")
    record(
        "diffusion-ql",
        parts,
        [agent.actor_optimizer, agent.critic_optimizer],
        stepper(agent),
        updates=3,
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
            "eta": 0.7,
            "diffusion_steps": STEPS,
            "tau": TAU,
            "ema": EMA,
            "max_grad_norm": 1e6,
        },
        compared="three updates without a bound of gradients, the policy's by the mean of both "
        "sides of its coin, and with its average moved in every update",
    )


def record(method: str, *arguments: Any, **facts: Any) -> None:
    recording.record(
        "diffusion",
        method,
        *arguments,
        oracle="official code",
        version=COMMIT,
        layers=arrays_of,
        **facts,
    )


def diffusion_bc() -> None:
    agent = importlib.import_module("agents.bc_diffusion").Diffusion_BC(
        OBS_DIM,
        ACTION_DIM,
        1.0,
        "cpu",
        discount=SETTINGS["discount"],
        tau=TAU,
        beta_schedule="vp",
        n_timesteps=STEPS,
    )
    narrow_actor(agent)

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        times = (STEPS * noise["step"][:, 0]).long()
        with drawing(noise["epsilon"]), mock.patch("torch.randint", return_value=times):
            return {"actor/bc_loss": agent.train(Given(batch), 1, BATCH)["bc_loss"][0]}

    record(
        "diffusion-bc",
        {"params/actor": [agent.actor]},
        [agent.actor_optimizer],
        step,
        updates=3,
        noise={"epsilon": ACTION_DIM},
        uniform={"step": 1},
        config={**SETTINGS, "learning_rate": LEARNING_RATE, "diffusion_steps": STEPS},
        compared="three updates, but for the average of its weights, which the official code of "
        "cloning has not",
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.path.insert(0, sys.argv[1])
    sys.modules["utils.logger"] = mock.MagicMock()
    for recorder in (diffusion_ql, diffusion_bc):
        torch.manual_seed(0)
        recorder()
