"""A test-only algorithm whose updates are easy to redo by hand, installed as a package would be."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch import Tensor

from algorithms.base import (
    Adam,
    Algorithm,
    Batch,
    Config,
    Loss,
    Networks,
    Noise,
    Normal,
    Phase,
    Stage,
    Uniform,
)
from algorithms.networks import MLP


class LineConfig(Config):
    learning_rate: float = 1e-2
    late_learning_rate: float = 1e-2
    cosine_decay: bool = False
    max_grad_norm: float | None = None
    weight_decay: float = 0.0
    slow_every: int = 1
    first_share: float = 0.5
    last_share: float = 0.5
    tau: float = 0.1


class Line(Algorithm[LineConfig]):
    """`fast` regresses actions, then `slow` regresses `fast`; in stage two, `late` goes on."""

    Config = LineConfig

    def create(self) -> None:
        config = self.config
        network = MLP(self.obs_dim, self.action_dim, config.hidden_dims)
        self.networks = {"fast": network, "slow": network, "late": network}
        adam = Adam(
            config.learning_rate, config.cosine_decay, config.max_grad_norm, config.weight_decay
        )
        self.optimizers = {"fast": adam, "slow": adam, "late": Adam(config.late_learning_rate)}
        self.targets = {"fast": config.tau, "late": config.tau}
        self.noise = {"normal": Normal(2), "uniform": Uniform(1)}
        first = (
            Phase(self.fast_loss, ("fast",), updates_targets=("fast",)),
            Phase(self.slow_loss, ("slow",), every=config.slow_every),
        )
        last = (Phase(self.late_loss, ("late",), updates_targets=("late",)),)
        self.stages = (
            Stage(first, config.first_share),
            Stage(last, config.last_share, copies={"late": "fast"}),
        )

    def fast_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        loss = (nets.fast(batch.observations) - batch.actions).square().mean((1, 2))
        return loss, {"fast/loss": loss}

    def slow_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        goal = nets.frozen.fast(batch.observations)
        loss = (nets.slow(batch.observations) - goal).square().mean((1, 2))
        return loss, {"slow/loss": loss}

    def late_loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        loss = (nets.late(batch.observations) - batch.actions).square().mean((1, 2))
        return loss, {"late/loss": loss}

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        actions: Tensor = nets.fast(observations)
        return actions


def install(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    algorithm_id: str = "line",
    target: str = f"{__name__}:Line",
) -> None:
    """Make a method known the way a third-party package does: an entry point on the path."""
    info = directory / "line-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: line\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[harness.algorithms]\n{algorithm_id} = {target}\n")
    monkeypatch.syspath_prepend(directory)
