"""Updates: optimisers, averages, phases, stages, saving. The reference is plain PyTorch."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from algorithms.engine.updates import compiler_exists
from algorithms.transitions import Transitions
from tests.algorithms import line
from tests.algorithms.reference import (
    assert_same_weights,
    learned,
    of_seed,
    polyak,
    record,
)
from tests.algorithms.small import make_engine, states_equal


@pytest.fixture(autouse=True)
def _line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line.install(tmp_path, monkeypatch)


@pytest.mark.parametrize("slow_every", [1, 3])
@pytest.mark.parametrize(
    ("settings", "optimizer"),
    [
        ({}, torch.optim.Adam),
        ({"weight_decay": 0.3}, torch.optim.AdamW),
        ({"max_grad_norm": 0.02}, torch.optim.Adam),
        ({"cosine_decay": True}, torch.optim.Adam),
    ],
    ids=["adam", "weight decay", "clipping", "cosine"],
)
def test_updates_equal_those_of_torch(
    settings: dict[str, Any], optimizer: Any, slow_every: int, transitions: Transitions
) -> None:
    """Two phases in order, the second delayed, with torch.optim on torch.nn modules."""
    engine = make_engine(
        "line", transitions, offline_steps=20, slow_every=slow_every, tau=0.1, **settings
    )
    start = [{n: learned(engine, n, slot)[0] for n in ("fast", "slow")} for slot in (0, 1)]
    averages = [learned(engine, "fast", slot, "targets")[0] for slot in (0, 1)]
    seen = record(engine)
    engine.train(10)  # the first stage

    decay = {k: v for k, v in settings.items() if k == "weight_decay"}
    for slot in (0, 1):
        fast, slow = start[slot]["fast"], start[slot]["slow"]
        steppers = {}
        for module, updates in ((fast, 10), (slow, 10 // slow_every)):
            adam = optimizer(module.parameters(), lr=1e-2, **decay)
            cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, updates)
            steppers[module] = (adam, cosine)

        def step(module: torch.nn.Module, loss: torch.Tensor, steppers: Any = steppers) -> None:
            adam, cosine = steppers[module]
            adam.zero_grad()
            loss.backward()
            if "max_grad_norm" in settings:
                torch.nn.utils.clip_grad_norm_(module.parameters(), settings["max_grad_norm"])
            adam.step()
            if "cosine_decay" in settings:
                cosine.step()

        for i, (batch, _) in enumerate(of_seed(seen, slot)):
            step(fast, (fast(batch.observations) - batch.actions).square().mean())
            polyak(averages[slot], fast, 0.1)
            if (i + 1) % slow_every == 0:
                goal = fast(batch.observations).detach()
                step(slow, (slow(batch.observations) - goal).square().mean())
        assert_same_weights(learned(engine, "fast", slot)[0], fast)
        assert_same_weights(learned(engine, "slow", slot)[0], slow)
        assert_same_weights(learned(engine, "fast", slot, "targets")[0], averages[slot])


def test_clipping_bounds_each_seed_by_itself(transitions: Transitions) -> None:
    """One seed's huge weights clip its own gradient and leave its neighbour's bits alone."""
    plain, exploding = (
        make_engine("line", transitions, hidden_dims=(4,), max_grad_norm=0.1) for _ in range(2)
    )
    state = exploding.state(1)
    state["params/fast/bias_1"] = state["params/fast/bias_1"] + 1e4
    exploding.load_state([exploding.state(0), state], 0)
    for engine in (plain, exploding):
        engine.train(1)
    assert states_equal(plain.state(0), exploding.state(0))
    means = [v for k, v in exploding.state(1).items() if k.startswith("adam_means/fast/")]
    norm = np.sqrt(sum(np.square(v).sum() for v in means)) / 0.1  # means are (1 - β1) gradient
    assert norm == pytest.approx(0.1, rel=1e-3)


def test_a_target_starts_as_its_network_and_moves_by_tau(transitions: Transitions) -> None:
    engine = make_engine("line", transitions, tau=0.25)
    key = "fast/weight_0"
    before = engine.state(1)
    assert np.array_equal(before[f"targets/{key}"], before[f"params/{key}"])
    engine.train(1)
    after = engine.state(1)
    expected = 0.75 * before[f"targets/{key}"] + 0.25 * after[f"params/{key}"]
    np.testing.assert_allclose(after[f"targets/{key}"], expected, rtol=1e-5, atol=1e-7)
    assert not np.array_equal(after[f"targets/{key}"], before[f"targets/{key}"])


def test_a_delayed_phase_acts_only_on_its_updates(transitions: Transitions) -> None:
    engine = make_engine("line", transitions, slow_every=2)
    changed = {"fast": [], "slow": []}
    for step in range(1, 7):
        before = engine.state(0)
        engine.train(1)
        after = engine.state(0)
        for name, steps in changed.items():
            key = f"params/{name}/weight_0"
            if not np.array_equal(before[key], after[key]):
                steps.append(step)
    assert changed == {"fast": [1, 2, 3, 4, 5, 6], "slow": [2, 4, 6]}
    assert (after["updates/fast"], after["updates/slow"]) == (6, 3)


def test_stages_switch_at_their_share_and_hand_over_the_average(transitions: Transitions) -> None:
    engine = make_engine(
        "line",
        transitions,
        offline_steps=10,
        first_share=0.3,
        last_share=0.7,
        late_learning_rate=0.0,
    )
    start = engine.state(0)
    engine.train(3)
    end_of_first = engine.state(0)
    engine.train(1)
    after_switch = engine.state(0)
    engine.train(6)
    end = engine.state(0)

    def group(state: dict[str, Any], prefix: str) -> dict[str, Any]:
        return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}

    assert states_equal(group(end_of_first, "params/late/"), group(start, "params/late/"))
    average = group(end_of_first, "targets/fast/")
    assert not states_equal(average, group(end_of_first, "params/fast/"))
    for copy in ("params/late/", "targets/late/"):  # a learning rate of 0 keeps what was copied
        assert states_equal(group(after_switch, copy), average)
    for name in ("fast", "slow"):
        assert states_equal(group(end, f"params/{name}/"), group(end_of_first, f"params/{name}/"))
    assert (end["updates/fast"], end["updates/late"]) == (3, 7)


def test_refuses_stages_that_do_not_fill_the_budget(transitions: Transitions) -> None:
    with pytest.raises(ValueError, match="must sum to 1"):
        make_engine("line", transitions, last_share=0.4)


def test_training_stops_at_the_end_of_the_budget(transitions: Transitions) -> None:
    engine = make_engine("line", transitions, offline_steps=12)
    exact = make_engine("line", transitions, offline_steps=12)
    engine.train(1000)
    exact.train(12)
    assert engine.step == 12
    assert states_equal(engine.state(0), exact.state(0))
    engine.train(5)
    assert engine.step == 12
    assert states_equal(engine.state(0), exact.state(0))


def test_metrics_are_one_float_a_seed_of_the_latest_update(transitions: Transitions) -> None:
    engine = make_engine("line", transitions)
    fast = [learned(engine, "fast", slot)[0] for slot in (0, 1)]
    seen = record(engine)
    engine.train(1)
    loss = engine.metrics()["fast/loss"]
    assert loss.shape == (2,)
    for slot in (0, 1):
        batch, _ = next(of_seed(seen, slot))
        expected = (fast[slot](batch.observations) - batch.actions).square().mean()
        assert loss[slot] == pytest.approx(float(expected.detach()), rel=1e-5)


def test_a_state_is_a_copy(transitions: Transitions) -> None:
    engine = make_engine("bc", transitions)
    state = engine.state(0)
    kept = {key: value.copy() for key, value in state.items()}
    engine.train(1)
    assert states_equal(state, kept)


def test_compiled_updates_of_a_single_seed_are_of_two_unless_it_is_alone(
    transitions: Transitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda update, **_: update)
    states = []
    for alone, stacked in ((False, 2), (True, 1)):
        engine = make_engine("bc", transitions, (0,), compile=True, alone=alone)
        seen = record(engine)
        engine.train(2)
        assert [len(batch.rewards) for batch, _ in seen] == [stacked, stacked]
        states.append(engine.state(0))
    assert states_equal(*states)  # as uncompiled code rounds the same for either


def test_without_a_compiler_warns_once_and_trains_uncompiled(
    transitions: Transitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    compiler_exists.cache_clear()
    try:
        with pytest.warns(UserWarning, match=r"no C\+\+ compiler found.*install g\+\+"):
            first = make_engine("bc", transitions, compile=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            make_engine("bc", transitions, compile=True)
    finally:
        compiler_exists.cache_clear()
    eager = make_engine("bc", transitions)
    for engine in (first, eager):
        engine.train(3)
    assert states_equal(first.state(0), eager.state(0))
