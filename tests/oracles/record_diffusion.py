"""Records Diffusion-QL's own code: `python -m tests.oracles.record_diffusion FOLDER`, a checkout.

It is Zhendong-Wang/Diffusion-Policies-for-Offline-RL at the commit below; nothing of it is part of
this repository.
"""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Mapping
from typing import Any
from unittest import mock

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
    drawing,
)

COMMIT = "d871f5c"
STEPS, EMBEDDING, EMA = 3, 16, 0.1


def network(inputs: int, outputs: int) -> nn.Sequential:
    dims = (inputs, *HIDDEN)
    hidden = [
        (nn.Linear(*dims[i : i + 2]), nn.GELU(approximate="tanh")) for i in range(len(HIDDEN))
    ]
    return nn.Sequential(
        *(layer for pair in hidden for layer in pair), nn.Linear(dims[-1], outputs)
    )


class Epsilon(nn.Module):
    """Our network of the noise, with the official embedding of the step: theirs, and one more."""

    def __init__(self, embed: nn.Module) -> None:
        super().__init__()
        self.embed = embed
        self.mlp = network(OBS_DIM + ACTION_DIM + EMBEDDING, ACTION_DIM)

    def forward(self, x: Tensor, time: Tensor, state: Tensor) -> Tensor:
        return self.mlp(torch.cat([state, x, self.embed(time + 1)], -1))


class Given:
    """A replay buffer of one batch."""

    def __init__(self, batch: Mapping[str, Tensor]) -> None:
        self.batch = batch

    def sample(self, _: int) -> list[Tensor]:
        b = self.batch
        rewards, masks = b["rewards"].unsqueeze(-1), b["masks"].unsqueeze(-1)
        return [b["observations"], b["actions"], b["next_observations"], rewards, masks]


def stepper(agent: Any) -> recording.Step:
    """The update of the agent, with the gradient of the policy that its coin would lead to."""

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        nothing = torch.zeros(BATCH, ACTION_DIM)  # is drawn in the last step, and not added
        chain, following = (
            [*noise[name].split(ACTION_DIM, -1), nothing] for name in ("sample", "next_sample")
        )
        times = (STEPS * noise["step"][:, 0]).long()
        sides, losses = [], []
        for coin in (0.0, 1.0):
            side = copy.deepcopy(agent)
            with (
                drawing(*following, noise["epsilon"], *chain),
                mock.patch("numpy.random.uniform", return_value=coin),
                mock.patch("torch.randint", return_value=times),
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

    return step


def main() -> None:
    sys.path.insert(0, sys.argv[1])
    sys.modules["utils.logger"] = mock.MagicMock()
    helpers = importlib.import_module("agents.helpers")
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
    agent.actor.model = agent.model = Epsilon(helpers.SinusoidalPosEmb(EMBEDDING))
    agent.critic.q1_model, agent.critic.q2_model = (
        network(OBS_DIM + ACTION_DIM, 1) for _ in range(2)
    )
    agent.ema_model, agent.critic_target = copy.deepcopy([agent.actor, agent.critic])
    for name in ("actor", "critic"):
        parameters = getattr(agent, name).parameters()
        setattr(agent, f"{name}_optimizer", torch.optim.Adam(parameters, lr=LEARNING_RATE))
    recording.record(
        "diffusion",
        "diffusion-ql",
        {
            "params/actor": [agent.actor],
            "params/critic": [agent.critic.q1_model, agent.critic.q2_model],
            "targets/actor": [agent.ema_model],
            "targets/critic": [agent.critic_target.q1_model, agent.critic_target.q2_model],
        },
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
        oracle="official code",
        version=COMMIT,
        compared="three updates without a bound of gradients, its policy's by the mean of both "
        "sides of its coin; its networks are given our activation and embedding, and its policy's "
        "average is moved in every update",
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    main()
