"""Where there is a GPU: it trains what the CPU trains."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from algorithms.transitions import Transitions
from tests.algorithms.small import ACTION_DIM, OBS_DIM, every_algorithm, make_engine

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

STEPS = 40  # all stages of every algorithm, most of them replayed as a CUDA graph


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    """Compiled code of one engine counts against the next one's limit."""
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("algorithm_id", every_algorithm())
@pytest.mark.parametrize("compiled", [False, True])
def test_updates_are_the_cpus_but_for_rounding(
    algorithm_id: str, compiled: bool, transitions: Transitions
) -> None:
    cpu = make_engine(algorithm_id, transitions, total_steps=STEPS)
    gpu = make_engine(algorithm_id, transitions, total_steps=STEPS, device="cuda", compile=compiled)
    cpu.train(STEPS)
    gpu.train(STEPS)
    for slot in (0, 1):
        expected, found = cpu.state(slot), gpu.state(slot)
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            if name.startswith(("params/", "targets/")):
                # Where a gradient is nearly zero, Adam's step is as large whatever its sign.
                near = np.abs(found[name] - value) < 2e-4
                assert near.mean() > 0.95, name
    observations = np.ones((2, 3, OBS_DIM), np.float32)
    actions = gpu.policy("test")(observations)
    assert actions.shape == (2, 3, ACTION_DIM)
    np.testing.assert_allclose(actions, cpu.policy("test")(observations), atol=2e-2)


def test_the_metrics_are_of_the_latest_update(transitions: Transitions) -> None:
    engine = make_engine("iql", transitions, device="cuda")
    cpu = make_engine("iql", transitions)
    for steps in (1, 5, 1, 12):
        engine.train(steps)
        cpu.train(steps)
        for name, values in cpu.metrics().items():
            np.testing.assert_allclose(engine.metrics()[name], values, rtol=1e-2, atol=1e-4)


def test_goes_on_from_a_saved_state_with_the_same_bits(transitions: Transitions) -> None:
    whole = make_engine("df-div", transitions, device="cuda", compile=True)
    whole.train(STEPS)
    first = make_engine("df-div", transitions, device="cuda", compile=True)
    first.train(17)
    second = make_engine("df-div", transitions, device="cuda", compile=True)
    second.load_state([first.state(0), first.state(1)], 17)
    second.train(STEPS)
    for slot in (0, 1):
        expected, found = whole.state(slot), second.state(slot)
        assert all(np.array_equal(expected[name], found[name]) for name in expected)


def test_learners_that_diverge_are_told_as_on_the_cpu(transitions: Transitions) -> None:
    """The step is counted on the device, also by updates that are replayed."""
    rows = transitions.rows.copy()
    rows[77, OBS_DIM + ACTION_DIM] = 1e30  # a reward whose squared error is infinite
    poisoned = Transitions(rows, OBS_DIM, ACTION_DIM)
    few: dict[str, int] = {"total_steps": 150, "batch_size": 4}
    cpu = make_engine("td3-bc", poisoned, (0, 1, 2, 3), **few)
    gpu = make_engine("td3-bc", poisoned, (0, 1, 2, 3), device="cuda", **few)
    cpu.train(150)
    gpu.train(150)
    assert 0 < len(cpu.diverged()) < 4
    assert gpu.diverged() == cpu.diverged()
