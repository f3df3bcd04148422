"""Records RvS's own code: `python -m tests.oracles.record_rvs FOLDER`, a checkout of it.

It is scottemmons/rvs at the commit below; nothing of it is part of this repository. Its networks
are of Stable-Baselines3 (requirements-rvs.txt).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
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
    Arrays,
    Step,
    perceptron,
    record,
)

COMMIT = "90c0ffb"
WIDTH, DEPTH = 10, 2
EPISODE = 32  # steps of the longest, as of the replay's data


class Module(nn.Module):
    """PyTorch Lightning's, with a log alone."""

    def save_hyperparameters(self, *names: str) -> None:
        pass

    def log(self, name: str, value: Tensor, **_: Any) -> None:
        self.__dict__.setdefault("logged", {})[name] = value.item()


def make_policy() -> Any:
    spaces = importlib.import_module("gym.spaces")
    box = [spaces.Box(-1.0, 1.0, (dim,), np.float32) for dim in (OBS_DIM, ACTION_DIM)]
    return importlib.import_module("rvs.policies").RvS(
        *box,
        hidden_size=WIDTH,
        depth=DEPTH,
        learning_rate=LEARNING_RATE,
        batch_size=BATCH,
        dropout_p=0,
        reward_conditioning=True,
    )


def arrays_of(policy: nn.Module, read: Callable[[Tensor], Tensor]) -> Arrays:
    arrays = perceptron(policy.get_submodule("model"), read)
    return {**arrays, "log_std": arrays["log_std"][None]}


def inputs(batch: Mapping[str, Tensor]) -> Tensor:
    """As the official data module makes them of an episode that begins with this batch."""
    official = importlib.import_module("rvs.dataset").D4RLRvSRDataModule
    assert batch["steps"].tolist() == list(range(BATCH))
    to_go = np.zeros(EPISODE + 1, np.float32)
    to_go[:BATCH] = batch["returns"]
    observations = np.zeros((EPISODE, OBS_DIM), np.float32)
    observations[:BATCH] = batch["observations"]
    data = {
        "observations": observations,
        "rewards": to_go[:-1] - to_go[1:],
        "terminals": np.zeros(EPISODE, bool),
        "timeouts": np.arange(EPISODE) == EPISODE - 1,
    }
    found: Tensor = official._get_observation_tensor(
        SimpleNamespace(average_reward_to_go=True), data
    )
    return found[:BATCH]


def stepper(policy: Any, optimizer: torch.optim.Optimizer) -> Step:
    def step(_: int, batch: Mapping[str, Tensor], __: Mapping[str, Tensor]) -> Any:
        loss = policy.training_step((inputs(batch), batch["actions"]), 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {f"actor/{name}": policy.logged[f"train_{name}"] for name in ("loss", "log_std")}

    return step


def main() -> None:
    policy = make_policy()
    optimizer = policy.configure_optimizers()
    record(
        "rvs",
        "rvs",
        {"params/actor": [policy]},
        [optimizer],
        stepper(policy, optimizer),
        updates=3,
        noise={},
        config={"hidden_dims": (WIDTH,) * DEPTH, "learning_rate": LEARNING_RATE},
        compared="three updates without PyTorch Lightning's loop, each on the first half of an "
        "episode, with rewards to go by the official code",
        layers=arrays_of,
        oracle="official code",
        version=COMMIT,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sys.path.insert(0, str(Path(sys.argv[1]) / "src"))
    importlib.import_module("torch._dynamo")  # which asks where pandas is
    absent = ("d4rl", "matplotlib", "pandas", "rvs.step", "rvs.train", "wandb")
    sys.modules |= {name: mock.MagicMock() for name in (*absent, "wandb.sdk.wandb_run")}
    sys.modules["pytorch_lightning"] = mock.MagicMock(
        LightningModule=Module, LightningDataModule=type("Data", (), {})
    )
    main()
