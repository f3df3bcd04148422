from __future__ import annotations

import math

import pytest
import torch

from algorithms.transitions import Transitions
from tests.algorithms.reference import (
    assert_same_weights,
    batch_of,
    closed_form,
    learned,
    make_algorithm,
    of_seed,
    record,
)
from tests.algorithms.small import make_engine


def test_the_loss_is_the_mean_squared_error_of_the_squashed_output() -> None:
    zeros = torch.zeros(1, 2)
    actions = torch.tensor([[[0.0, 1.0], [-0.5, 0.5]]])
    states = torch.zeros(1, 2, 3)
    batch = batch_of(states, actions, zeros, states, zeros, zeros)
    nets = closed_form({"actor": lambda s: torch.tensor([0.0, 0.3]).expand(*s.shape[:2], 2)})
    loss, _ = make_algorithm("bc").loss(nets, batch, {})
    t = math.tanh(0.3)
    expected = (0.0**2 + (t - 1) ** 2 + 0.5**2 + (t - 0.5) ** 2) / 4
    assert loss.tolist() == pytest.approx([expected])


def test_training_equals_plain_pytorch(transitions: Transitions) -> None:
    engine = make_engine("bc", transitions)
    actors = [learned(engine, "actor", slot)[0] for slot in (0, 1)]
    seen = record(engine)
    engine.train(8)
    for slot, actor in enumerate(actors):
        adam = torch.optim.Adam(actor.parameters(), lr=3e-4)
        for batch, _ in of_seed(seen, slot):
            adam.zero_grad()
            torch.nn.functional.mse_loss(
                torch.tanh(actor(batch.observations)), batch.actions
            ).backward()
            adam.step()
        assert_same_weights(learned(engine, "actor", slot)[0], actor)
