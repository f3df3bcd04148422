"""Records DTQL's own code: `python -m tests.oracles.record_dtql FOLDER`, a checkout of it.

It is TianyuCodings/Diffusion_Trusted_Q_Learning at the commit below; nothing of it is part of this
repository.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from tests.oracles.recording import (
    ACTION_DIM,
    BATCH,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    TAU,
    Arrays,
    Given,
    Step,
    drawing,
    perceptron,
    record,
    squared_errors,
)

COMMIT = "9a29cea"
WIDTH, DEPTH, EMBEDDING = 8, 3, 16
PRETRAINING, TRAINING = 2, 3  # updates
ALPHA, LIKELIHOOD = 0.7, 0.5


def make_agent() -> Any:
    """The official agent with fewer units, and without what the method's file lists."""
    official = importlib.import_module("agents.dtql")
    diffusion = official.ScoreNetwork
    narrow = {
        name: functools.partial(getattr(official, name), hidden_dim=WIDTH)
        for name in ("Critic", "DiagGaussianActorTanhAction")
    }
    narrow["ScoreNetwork"] = lambda **settings: diffusion(**{**settings, "hidden_dim": WIDTH})
    with mock.patch.multiple(official, **narrow):
        agent = official.DTQL(
            "cpu",
            OBS_DIM,
            ACTION_DIM,
            SimpleNamespace(high=[1.0]),
            discount=SETTINGS["discount"],
            alpha=ALPHA,
            lr=LEARNING_RATE,
            tau=TAU,
            gamma=LIKELIHOOD,
        )
    layers = agent.bc_actor.layers.layers
    del layers[0]
    layers[0] = nn.Linear(OBS_DIM + ACTION_DIM + EMBEDDING, WIDTH)
    agent.bc_actor_optimizer = torch.optim.Adam(agent.bc_actor.parameters(), lr=LEARNING_RATE)
    agent.critic_optimizer.param_groups[0]["lr"] = LEARNING_RATE
    for module in (*agent.critic.modules(), *agent.critic_target.modules()):
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-6
    return agent


def arrays_of(module: nn.Module, read: Callable[[Tensor], Tensor]) -> Arrays:
    """By our names; the official diffusion model is given (x, s, step), ours (s, x, step)."""
    if not hasattr(module, "embed"):
        return perceptron(module, read)
    network: Any = module
    body, embedding = (perceptron(part, read) for part in (network.layers, network.embed))
    seen = OBS_DIM + ACTION_DIM
    body["weight_0"][:seen] = np.roll(body["weight_0"][:seen], OBS_DIM, 0)
    return {**body, **{f"step_{name}": x for name, x in embedding.items()}}


def stepper(agent: Any) -> Step:
    own_loss = agent.q_v_critic_loss

    def step(k: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        totals: list[float] = []

        def totals_kept(*arguments: Tensor) -> Tensor:
            loss: Tensor = own_loss(*arguments)
            totals.append(loss.item())
            return loss

        def denoising(prefix: str = "") -> Iterator[Tensor]:
            yield noise[f"{prefix}sigma"][:, 0].double()
            yield noise[f"{prefix}epsilon"]

        pretraining = k <= PRETRAINING
        actor = () if pretraining else (noise["z"], *denoising("policy_"))
        with (
            drawing(*denoising(), *actor),
            squared_errors() as errors,
            mock.patch.object(agent, "q_v_critic_loss", totals_kept),
        ):
            if pretraining:
                agent.pretrain(Given(batch), BATCH, 1)
                found: Mapping[str, Any] = {}
            else:
                found = agent.train(Given(batch), BATCH)
        names = {"trust_loss": "distill_loss", "q_loss": "ql_loss", "bc_loss": "gamma_loss"}
        return {
            "critic/loss": sum(errors),
            "value/loss": totals[0] - sum(errors),
            "behavior/loss": agent.bc_loss.item(),
            **{f"actor/{ours}": found[theirs][0] for ours, theirs in names.items() if found},
        }

    return step


def main() -> None:
    agent = make_agent()
    critic, target = agent.critic, agent.critic_target
    record(
        "dtql",
        "dtql",
        {
            "params/critic": [critic.q1_model, critic.q2_model],
            "params/value": [critic.v_model],
            "params/behavior": [agent.bc_actor],
            "params/actor": [agent.distill_actor],
            "targets/critic": [target.q1_model, target.q2_model],
        },
        [agent.critic_optimizer, agent.bc_actor_optimizer, agent.distill_actor_optimizer],
        stepper(agent),
        updates=PRETRAINING + TRAINING,
        noise={"epsilon": ACTION_DIM, "z": ACTION_DIM, "policy_epsilon": ACTION_DIM},
        uniform={"sigma": 1, "policy_sigma": 1},
        config={
            **SETTINGS,
            "hidden_dims": (WIDTH,) * DEPTH,
            "pretrain_share": PRETRAINING / (PRETRAINING + TRAINING),
            "learning_rate": LEARNING_RATE,
            "critic_learning_rate": LEARNING_RATE,
            "tau": TAU,
            "alpha": ALPHA,
            "likelihood_weight": LIKELIHOOD,
        },
        compared="two updates of pretraining, then three; the diffusion policy without its first "
        "linear layer, and the layer norms' ε is ours",
        layers=arrays_of,
        oracle="official code",
        version=COMMIT,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sys.path.insert(0, sys.argv[1])
    sys.modules["einops"] = mock.MagicMock()
    main()
