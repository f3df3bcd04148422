"""Records Diffuser's own code: `python -m tests.oracles.record_diffuser FOLDER`, a checkout of it.

It is jannerm/diffuser at the commit below; nothing of it is part of this repository. In a venv with
einops.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.oracles.plan_nets import (
    CHANNELS,
    HORIZON,
    STEPS,
    Read,
    package,
    tame,
    train,
    trainer,
    unet_arrays,
    value_arrays,
)
from tests.oracles.recording import (
    ACTION_DIM,
    BATCH,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    Arrays,
    record,
)

COMMIT = "7ea4228"
DIM = ACTION_DIM + OBS_DIM
ACTION_WEIGHT = 10.0


def arrays_of(module: nn.Module, read: Read) -> Arrays:
    of = unet_arrays if hasattr(module, "ups") else value_arrays
    return of(module, read)


def make_trainers(folder: Path) -> tuple[Any, Any]:
    """Of the diffusion and of the values."""
    official = package(folder)
    sizes = {"dim": CHANNELS[0], "dim_mults": [width // CHANNELS[0] for width in CHANNELS]}
    shapes = (HORIZON, OBS_DIM, ACTION_DIM, STEPS)
    model = trainer(
        official,
        official.diffusion.GaussianDiffusion(
            official.temporal.TemporalUnet(HORIZON, DIM, OBS_DIM, **sizes),
            *shapes,
            loss_type="l2",
            predict_epsilon=False,
            action_weight=ACTION_WEIGHT,
        ),
    )
    value = trainer(
        official,
        official.diffusion.ValueDiffusion(
            official.temporal.ValueFunction(HORIZON, DIM, OBS_DIM, **sizes),
            *shapes,
            loss_type="value_l2",
        ),
    )
    return model, value


def main(folder: Path) -> None:
    model, value = make_trainers(folder)

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        plans = torch.cat([batch["actions"], batch["observations"]], -1)
        known = {0: batch["observations"][:, 0]}
        epsilon, value_epsilon = (
            noise[name].view(BATCH, HORIZON, DIM) for name in ("epsilon", "value_epsilon")
        )
        returns = batch["returns"][:, :1]
        found = train(model, [plans, known], noise["step"], epsilon)
        of_value = train(value, [plans, known, returns], noise["value_step"], value_epsilon)
        return {"model/loss": found["loss"], "value/loss": of_value["loss"]}

    networks = {"params/model": [model.model.model], "params/value": [value.model.model]}
    record(
        "diffuser",
        "diffuser",
        networks,
        [model.optimizer, value.optimizer],
        step,
        updates=2,
        noise={"epsilon": HORIZON * DIM, "value_epsilon": HORIZON * DIM},
        uniform={"step": 1, "value_step": 1},
        context=HORIZON,
        config={
            **SETTINGS,
            "hidden_dims": CHANNELS,
            "horizon": HORIZON,
            "diffusion_steps": STEPS,
            "action_weight": ACTION_WEIGHT,
            "learning_rate": LEARNING_RATE,
            "value_every": 1,
        },
        prepare=lambda _: tame(*networks["params/model"], *networks["params/value"]),
        compared="two updates of both networks on given windows and values, without the averages "
        "of their weights; group norms of few channels have fewer groups",
        layers=arrays_of,
        oracle="official code",
        version=COMMIT,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    main(Path(sys.argv[1]))
