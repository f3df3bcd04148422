"""Records Decision Diffuser's own code: `python -m tests.oracles.record_dd FOLDER`, a checkout.

It is anuragajay/decision-diffuser at the commit below; nothing of it is part of this repository. In
a venv with einops.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
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
)
from tests.oracles.recording import (
    ACTION_DIM,
    BATCH,
    LEARNING_RATE,
    OBS_DIM,
    SETTINGS,
    Arrays,
    array,
    perceptron,
    record,
)

COMMIT = "01ce528"
WIDTH = 10  # of the inverse dynamics' hidden layers
LARGEST, QUANTILES = 4.0, 4  # observations uniform between -LARGEST and LARGEST
RETURN_SCALE, DROPOUT = 2.0, 0.4


class Edges(nn.Module):
    """Of our observations' parts of equal shares."""

    def __init__(self) -> None:
        super().__init__()
        edges = torch.linspace(-LARGEST, LARGEST, QUANTILES + 1)
        self.values = nn.Parameter(edges[:, None].repeat(1, OBS_DIM), requires_grad=False)


def arrays_of(module: nn.Module, read: Read) -> Arrays:
    if isinstance(module, Edges):
        return {"values": array(read(module.values))}
    of = unet_arrays if hasattr(module, "ups") else perceptron
    return of(module, read)


def make_trainer(folder: Path) -> Any:
    official = package(folder / "code")
    unet = official.temporal.TemporalUnet(
        HORIZON,
        OBS_DIM,
        OBS_DIM,
        dim=CHANNELS[0],
        dim_mults=[width // CHANNELS[0] for width in CHANNELS],
        returns_condition=True,
    )
    diffusion = official.diffusion.GaussianInvDynDiffusion(
        unet,
        HORIZON,
        OBS_DIM,
        ACTION_DIM,
        STEPS,
        hidden_dim=WIDTH,
        returns_condition=True,
    )
    return trainer(official, diffusion)


def main(folder: Path) -> None:
    agent, edges = make_trainer(folder), Edges()
    diffusion = agent.model
    unet = diffusion.model

    def prepare(_: Arrays) -> None:
        tame(unet)
        edges.load_state_dict(Edges().state_dict())

    def step(_: int, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor]) -> Any:
        states = batch["observations"] / LARGEST
        plans = torch.cat([batch["actions"], states], -1)
        returns = batch["returns"][:, :1] / RETURN_SCALE
        known = iter((noise["return"] >= DROPOUT).float().chunk(2))
        unet.mask_dist = SimpleNamespace(sample=lambda sample_shape: next(known))
        epsilon = noise["epsilon"].view(BATCH, HORIZON, OBS_DIM)
        found = train(agent, [plans, {0: states[:, 0]}, returns], noise["step"], epsilon)
        model_loss = found["a0_loss"] / 2
        return {"model/loss": model_loss, "inverse/loss": found["loss"] - model_loss}

    record(
        "dd",
        "dd",
        {
            "params/model": [unet],
            "params/returns": [unet.returns_mlp],
            "params/inverse": [diffusion.inv_model],
            "params/edges": [edges],
        },
        [agent.optimizer],
        step,
        updates=2,
        noise={"epsilon": HORIZON * OBS_DIM},
        uniform={"step": 1, "return": 1},
        context=HORIZON,
        config={
            **SETTINGS,
            "hidden_dims": CHANNELS,
            "horizon": HORIZON,
            "diffusion_steps": STEPS,
            "quantiles": QUANTILES,
            "inverse_hidden_dims": (WIDTH, WIDTH),
            "return_scale": RETURN_SCALE,
            "return_dropout": DROPOUT,
            "learning_rate": LEARNING_RATE,
        },
        prepare=prepare,
        compared="two updates of all networks on given windows and returns, without the averages "
        "of their weights; group norms of few channels have fewer groups",
        layers=arrays_of,
        oracle="official code",
        version=COMMIT,
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    main(Path(sys.argv[1]))
