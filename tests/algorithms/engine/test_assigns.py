"""State that no gradient moves: a phase assigns it by a rule of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.base import Adam, Algorithm, Batch, Config, Loss, Networks, Noise, Phase, Stage
from algorithms.blocks.squashed_gaussian import LogScalar
from algorithms.networks import MLP, Params
from algorithms.transitions import Transitions
from tests.algorithms import line
from tests.algorithms.small import make_engine, states_equal


class DualConfig(Config):
    """A method with a multiplier."""


class Dual(Algorithm[DualConfig]):
    """Cloning, priced by a multiplier that halves and rises by the error."""

    Config = DualConfig

    def create(self) -> None:
        self.networks = {
            "actor": MLP(self.obs_dim, self.action_dim, self.config.hidden_dims),
            "multiplier": LogScalar(1.0),
        }
        self.optimizers = {"actor": Adam(1e-3)}
        self.stages = (Stage((Phase(self.loss, ("actor",), every=2, assigns=self.rise),)),)

    def loss(self, nets: Networks, batch: Batch, noise: Noise) -> Loss:
        error = self.error(nets, batch)
        return error * nets.frozen.multiplier().exp(), {"actor/loss": error}

    def rise(self, nets: Networks, batch: Batch, noise: Noise) -> Mapping[str, Params]:
        risen = 0.5 * nets.multiplier() + self.error(nets, batch)
        return {"multiplier": {"log": risen.view(-1, 1)}}

    def error(self, nets: Networks, batch: Batch) -> Tensor:
        return (nets.actor(batch.observations) - batch.actions).square().mean((1, 2))

    def act(self, nets: Networks, observations: Tensor, noise: Noise) -> Tensor:
        return torch.tanh(nets.actor(observations))


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line.install(tmp_path, monkeypatch, "dual", f"{__name__}:Dual")


def test_it_is_what_the_rule_says_of_the_networks_before_each_step_of_its_phase(
    transitions: Transitions,
) -> None:
    engine = make_engine("dual", transitions)
    expected = np.ones(2)
    for _ in range(3):
        engine.train(2)  # the phase is due in the second
        expected = 0.5 * expected + engine.metrics()["actor/loss"]
    engine.train(1)
    for slot in (0, 1):
        found = engine.state(slot)["params/multiplier/log"]
        assert found == pytest.approx(expected[slot], rel=1e-5)


def test_it_is_saved_and_goes_on(transitions: Transitions) -> None:
    straight, again = (make_engine("dual", transitions) for _ in range(2))
    straight.train(5)
    again.load_state([straight.state(0), straight.state(1)], 5)
    for engine in (straight, again):
        engine.train(6)
    assert states_equal(straight.state(1), again.state(1))
    assert not np.array_equal(
        straight.state(0)["params/multiplier/log"], straight.state(1)["params/multiplier/log"]
    )
