"""Records SfBC's own code: `python -m tests.oracles.record_sfbc FOLDER`, a checkout of it.

It is ChenDRAG/SfBC at the commit below; nothing of it is part of this repository.
"""

from __future__ import annotations

import copy
import functools
import importlib
import sys
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from tests.oracles.recording import (
    ACTION_DIM,
    HIDDEN,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    Arrays,
    drawing,
    perceptron,
    record,
)
from tests.oracles.score_nets import WIDTHS, as_ours, narrow_blocks, score_arrays

COMMIT = "d384e9f"
UPDATES = 3  # of the behaviour, then of Q
EPOCH = 98  # of Q, in which nothing is planned or written


def arrays_of(module: nn.Module, read: Callable[[Tensor], Tensor]) -> Arrays:
    of = score_arrays if hasattr(module, "last") else perceptron
    return of(module, read)


def make_model() -> tuple[Any, SimpleNamespace, dict[str, float]]:
    """The official network of the noise, with Q, of fewer units; settings; losses, as logged."""
    official = importlib.import_module("diffusion_SDE.model")
    schedule = importlib.import_module("diffusion_SDE.schedule").marginal_prob_std
    scales = functools.partial(schedule, sigma=25.0, device="cpu")
    losses: dict[str, float] = {}
    args = SimpleNamespace(
        device="cpu",
        critic_type="small",
        marginal_prob_std_fn=scales,
        n_behavior_epochs=1,
        K=1,
        reset_critic=False,
        writer=SimpleNamespace(add_scalar=lambda name, x, **_: losses.update({name: x})),
    )
    with narrow_blocks(official):
        model = official.ScoreNet(OBS_DIM + ACTION_DIM, ACTION_DIM, scales, args=args)
    as_ours(model)
    dims = (OBS_DIM + ACTION_DIM, *HIDDEN, 1)
    layers = [nn.Linear(*dims[i : i + 2]) for i in range(len(dims) - 1)]
    model.q[0].sort = nn.Sequential(
        layers[0], official.SiLU(), layers[1], official.SiLU(), layers[2]
    )
    return model, args, losses


def main() -> None:
    model, args, losses = make_model()
    cloning, fitting = (importlib.import_module(f"train_{name}") for name in ("behavior", "critic"))
    cloning.loss_fn.__defaults__ = (1e-3,)  # the first time
    behavior_optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    critic_optimizer = torch.optim.Adam(model.q[0].parameters(), lr=LEARNING_RATE)
    initial, initial_target, target = others = [copy.deepcopy(model.q[0]) for _ in range(3)]

    def prepare(_: Arrays) -> None:
        """Q is fitted from where it began."""
        for other in others:
            other.load_state_dict(model.q[0].state_dict())

    def step(k: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        returns = (batch["returns"] - batch["mean"]) / batch["scale"]
        pairs = torch.cat([returns.unsqueeze(-1), batch["actions"]], -1)
        loader = [(pairs, batch["observations"])]
        if k <= UPDATES:
            with drawing(noise["time"][:, 0], noise["epsilon"]):
                cloning.train_behavior(args, model, loader, behavior_optimizer)
            return {"behavior/loss": losses["actor/loss"]}
        fitting.train_critic(args, model, loader, critic_optimizer, EPOCH)
        target.load_state_dict(model.q[0].state_dict())
        return {"critic/loss": losses["critic/loss"]}

    record(
        "sfbc",
        "sfbc",
        {
            "params/behavior": [model],
            "params/critic": [model.q[0]],
            "targets/critic": [target],
            "params/initial_critic": [initial],
            "targets/initial_critic": [initial_target],
        },
        [behavior_optimizer, critic_optimizer],
        step,
        updates=2 * UPDATES,
        noise={"epsilon": ACTION_DIM},
        uniform={"time": 1},
        columns={"returns": 0, "mean": 0, "scale": 0},
        config={
            **SETTINGS,
            "behavior_dims": WIDTHS,
            "behavior_share": 0.5,
            "behavior_learning_rate": LEARNING_RATE,
            "critic_learning_rate": LEARNING_RATE,
            "rounds": 1,
        },
        prepare=prepare,
        compared="three updates of the behaviour, then three of Q on given returns, of which none "
        "is planned; the earliest time and the time's frequencies are ours",
        layers=arrays_of,
        oracle="official code",
        version=COMMIT,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sys.path.insert(0, sys.argv[1])
    absent = ("d4rl", "dataset", "dataset.dataset", "gym", "scipy", "utils")
    sys.modules |= {name: mock.MagicMock() for name in (*absent, "torch.utils.tensorboard")}
    main()
