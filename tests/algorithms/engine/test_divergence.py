"""Learners that diverge: which, by what and when; and that they cost their neighbours nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from algorithms.engine.engine import Engine
from algorithms.errors import DivergedError
from algorithms.transitions import Transitions
from baselines.bc import BC
from tests.algorithms.engine.test_online import OFFLINE, make, seen_at
from tests.algorithms.small import OBS_DIM, make_engine, states_equal

SEEDS = (0, 1, 2, 3)
STEPS = 150


@pytest.fixture(scope="module")
def poisoned(transitions: Transitions) -> Transitions:
    """Data with one reward so high that its squared error is infinite; few batches have it."""
    rows = transitions.rows.copy()
    rows[77, OBS_DIM + 2] = 1e30
    return Transitions(rows, OBS_DIM, 2)


def first_bad_loss(algorithm_id: str, data: Transitions, seed: int) -> str:
    """Of one learner alone, whose metrics are looked at after every update."""
    engine = make_engine(algorithm_id, data, (seed,), offline_steps=STEPS, batch_size=4)
    for step in range(1, STEPS + 1):
        engine.train(1)
        for name, [value] in engine.metrics().items():
            if name.endswith("loss") and not np.isfinite(value):
                return f"{name} became {value} at step {step}"
    return ""


@pytest.mark.parametrize(
    ("algorithm_id", "compiled"),
    [("iql", False), ("td3-bc", False), pytest.param("td3-bc", True, marks=pytest.mark.slow)],
)
def test_the_first_loss_that_is_not_finite_is_named_with_its_step(
    poisoned: Transitions, algorithm_id: str, compiled: bool
) -> None:
    few = {"offline_steps": STEPS, "batch_size": 4, "compile": compiled}
    engine = make_engine(algorithm_id, poisoned, SEEDS, **few)
    engine.train(STEPS)
    expected = {
        slot: first_bad_loss(algorithm_id, poisoned, seed) for slot, seed in enumerate(SEEDS)
    }
    assert len(set(expected.values()) - {""}) > 1
    assert "" in expected.values()
    assert engine.diverged() == {slot: reason for slot, reason in expected.items() if reason}


Losses = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, dict[str, torch.Tensor]]]


def cloning(monkeypatch: pytest.MonkeyPatch, data: Transitions, losses: Losses) -> Engine:
    """Two learners that clone, with losses changed: (actions [2, B, A], losses [2])."""

    def loss(self: BC, nets: Any, batch: Any, noise: Any) -> Any:
        actions = torch.tanh(nets.actor(batch.observations))
        return losses(actions, (actions - batch.actions).square().mean((1, 2)))

    monkeypatch.setattr(BC, "loss", loss)
    return make_engine("bc", data)


def test_a_loss_that_is_not_logged_and_leaves_the_networks_sound_is_found_later(
    monkeypatch: pytest.MonkeyPatch, transitions: Transitions
) -> None:
    """As where(…) keeps nan from the gradient: the metrics of later updates do not tell."""
    broken = torch.tensor([False, True])
    engine = cloning(monkeypatch, transitions, lambda _, loss: (loss.where(~broken, torch.nan), {}))
    engine.train(3)
    broken.zero_()
    engine.train(3)
    assert engine.diverged() == {1: "the loss of actor became nan at step 1"}


def test_networks_that_the_latest_step_has_spoilt_are_named(
    monkeypatch: pytest.MonkeyPatch, transitions: Transitions
) -> None:
    def losses(actions: torch.Tensor, loss: torch.Tensor) -> Any:
        root = (actions[1] - actions[1].detach()).square().sum().sqrt()  # 0, of slope nan
        return torch.stack([loss[0], loss[1] + root]), {"actor/loss": loss}

    engine = cloning(monkeypatch, transitions, losses)
    assert engine.diverged() == {}
    engine.train(1)
    assert engine.diverged() == {1: "parameters of actor were not finite after step 1"}


def test_what_was_found_is_forgotten_with_the_state_it_was_found_in(
    poisoned: Transitions,
) -> None:
    engine = make_engine("iql", poisoned, SEEDS, offline_steps=STEPS, batch_size=4)
    sound = [engine.state(slot) for slot in range(4)]
    engine.train(STEPS)
    found = engine.diverged()
    assert found
    engine.load_state(sound, 0)
    assert engine.diverged() == {}
    engine.train(STEPS)
    assert engine.diverged() == found


def test_the_others_go_on_with_the_bits_they_have_alone(transitions: Transitions) -> None:
    engine, alone = (make("iql", transitions, seeds) for seeds in ((3, 5, 8), (8,)))
    for one in (engine, alone):
        one.train(OFFLINE - 4)
        if one is engine:
            one.drop(0)
        one.train(4)
        for step in range(3):
            one.add(seen_at(step, one.seeds))
            one.train(1)
        if one is engine:
            one.drop(0)
        for step in range(3, 6):
            one.add(seen_at(step, one.seeds))
            one.train(1)
    assert engine.seeds == (8,)
    assert states_equal(engine.state(0), alone.state(0))
    assert np.array_equal(engine.seen(0).rows, alone.seen(0).rows)
    assert engine.metrics() == alone.metrics()
    engine.load_state([alone.state(0)], alone.step)
    assert states_equal(engine.state(0), alone.state(0))
    observations = np.random.default_rng(0).normal(size=(1, 5, OBS_DIM)).astype(np.float32)
    for selection in ("noise-1", "best-of-4"):
        mine, other = (one.policy("test", selection)(observations) for one in (engine, alone))
        assert np.array_equal(mine, other)


@pytest.mark.parametrize(
    ("network", "selection", "words"),
    [("actor", "noise-1", "policy's actions"), ("critic", "best-of-4", "critic's values")],
)
def test_acting_names_the_learners_that_cannot(
    transitions: Transitions, network: str, selection: str, words: str
) -> None:
    engine = make_engine("iql", transitions, SEEDS)
    states = [engine.state(slot) for slot in range(4)]
    for slot in (1, 3):
        for name, value in states[slot].items():
            if name.startswith(f"params/{network}/"):
                value.fill(np.nan)
    engine.load_state(states, 0)
    with pytest.raises(DivergedError) as error:
        engine.policy("test", selection)(np.zeros((4, 2, OBS_DIM), np.float32))
    assert error.value.reasons.keys() == {1, 3}
    assert all(words in reason for reason in error.value.reasons.values())
