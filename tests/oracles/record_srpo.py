"""Records SRPO's own code: `python -m tests.oracles.record_srpo FOLDER`, a checkout of it.

It is thu-ml/SRPO at the commit below; nothing of it is part of this repository.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.oracles.recording import (
    ACTION_DIM,
    HIDDEN,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    Arrays,
    Step,
    drawing,
    frequencies,
    perceptron,
    record,
)

COMMIT = "b3b916a"
WIDTH, BLOCKS = 8, 2  # of the diffusion model
PRETRAINING, POLICY = 3, 3  # updates
BETA = 0.4


@contextlib.contextmanager
def narrow(official: Any) -> Iterator[None]:
    """Its modules of 256 units have fewer."""
    mlp, residual = official.mlp, official.MLPResNet.__init__

    def narrow_mlp(dims: Sequence[int], *arguments: Any, **settings: Any) -> nn.Module:
        hidden = HIDDEN if 256 in dims else dims[1:-1]
        return mlp([dims[0], *hidden, dims[-1]], *arguments, **settings)

    def narrow_residual(module: nn.Module, *arguments: Any, **settings: Any) -> None:
        residual(module, *arguments, **{**settings, "hidden_dim": WIDTH})

    with (
        mock.patch.object(official, "mlp", narrow_mlp),
        mock.patch.object(official.MLPResNet, "__init__", narrow_residual),
    ):
        yield


def as_ours(model: nn.Module) -> None:
    """The diffusion model without what the method's file lists as different, and no dropout."""
    waves: Any = model.get_submodule("embed.0")
    del waves.W  # no parameter, for it is not learned
    waves.register_buffer("W", frequencies(32))
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-6
        if isinstance(module, nn.Dropout):
            module.p = 0.0


def arrays_of(module: nn.Module, read: Callable[[Tensor], Tensor]) -> Arrays:
    """By our names, but for unused layers of the diffusion model; the official Q is of (a, s)."""
    if not hasattr(module, "cond_model"):
        arrays = perceptron(module, read)
        if len(arrays["weight_0"]) == OBS_DIM + ACTION_DIM:
            arrays["weight_0"] = np.roll(arrays["weight_0"], OBS_DIM, 0)
        return arrays
    network: Any = module
    arrays = {f"time_{key}": x for key, x in perceptron(network.cond_model, read).items()}
    layers = {"in": network.main.fc, "out": network.main.out_fc}
    for i, block in enumerate(network.main.blocks):
        layers |= {f"wide_{i}": block.fc1, f"narrow_{i}": block.fc2}
        norm = perceptron(nn.ModuleList([block.layer_norm]), read)
        arrays |= {f"scale_{i}": norm["scale_-1"], f"shift_{i}": norm["shift_-1"]}
    for name, layer in layers.items():
        own = perceptron(layer, read)
        arrays |= {f"weight_{name}": own["weight_0"], f"bias_{name}": own["bias_0"]}
    return arrays


def make_agents() -> tuple[Any, Any, Any]:
    """What learns the diffusion model, the critics, and the policy from both of them."""
    args = SimpleNamespace(
        device="cpu",
        env="hopper",
        actor_blocks=BLOCKS,
        policy_layer=2,
        q_layer=2,
        n_policy_epochs=POLICY / 10_000,
        WT="VDS",
        beta=BETA,
        regq=0,
    )
    sizes = (OBS_DIM + ACTION_DIM, ACTION_DIM)
    scales = functools.partial(importlib.import_module("utils").marginal_prob_std, device="cpu")
    official = importlib.import_module("SRPO")
    with narrow(importlib.import_module("model")):
        cloning = official.SRPO_Behavior(*sizes, scales, args)
        learning = official.SRPO_IQL(*sizes, args)
        agent = official.SRPO(*sizes, scales, args)
    agent.diffusion_behavior, agent.q = cloning.diffusion_behavior, learning.q
    as_ours(agent.diffusion_behavior)
    learning.q[0].discount = SETTINGS["discount"]
    return cloning, learning, agent


def stepper(cloning: Any, learning: Any, agent: Any) -> Step:
    critics = learning.q[0]

    def step(k: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        data = {
            "s": batch["observations"],
            "a": batch["actions"],
            "r": batch["rewards"].unsqueeze(-1),
            "s_": batch["next_observations"],
            "d": 1 - batch["masks"].unsqueeze(-1),
        }
        with drawing(noise["time"][:, 0], noise["epsilon"]):
            if k > PRETRAINING:
                agent.update_SRPO_policy(data)
                return {"actor/q": agent.SRPO_policy.q.item()}
            cloning.update_behavior(data)
        mean = F.mse_loss
        with mock.patch("torch.nn.functional.mse_loss", lambda x, y: 2 * mean(x, y)):
            learning.update_iql(data)
        return {
            "behavior/loss": cloning.loss.item(),
            "critic/loss": critics.q_loss.item(),
            "value/loss": critics.v_loss.item(),
        }

    return step


def main() -> None:
    cloning, learning, agent = make_agents()
    critics = learning.q[0]
    optimizers = [
        cloning.diffusion_optimizer,
        critics.q_optimizer,
        critics.v_optimizer,
        agent.SRPO_policy_optimizer,
    ]
    for optimizer in optimizers:
        optimizer.param_groups[0]["lr"] = LEARNING_RATE
    record(
        "srpo",
        "srpo",
        {
            "params/behavior": [agent.diffusion_behavior],
            "params/critic": [critics.q0.q1, critics.q0.q2],
            "params/value": [critics.vf],
            "params/actor": [agent.SRPO_policy],
            "targets/critic": [critics.q0_target.q1, critics.q0_target.q2],
        },
        optimizers,
        stepper(cloning, learning, agent),
        updates=PRETRAINING + POLICY,
        noise={"epsilon": ACTION_DIM},
        uniform={"time": 1},
        config={
            **SETTINGS,
            "actor_hidden_dims": HIDDEN,
            "behavior_dim": WIDTH,
            "behavior_blocks": BLOCKS,
            "pretrain_share": PRETRAINING / (PRETRAINING + POLICY),
            "learning_rate": LEARNING_RATE,
            "dropout": 0.0,
            "beta": BETA,
        },
        compared="three updates of the diffusion model and the critics, then three of the policy, "
        "without dropout; the twins' errors are summed, and the time's frequencies and the layer "
        "norms' ε are ours",
        layers=arrays_of,
        oracle="official code",
        version=COMMIT,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sys.path.insert(0, sys.argv[1])
    sys.modules |= {name: mock.MagicMock() for name in ("d4rl", "gym")}
    with mock.patch("torch.nn.Module.to", lambda module, *_, **__: module):
        main()
