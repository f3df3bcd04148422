"""Where there is a GPU: it trains what the CPU trains."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from algorithms.engine import acting, engine, streams
from algorithms.transitions import Transitions
from tests.algorithms.small import ACTION_DIM, OBS_DIM, every_algorithm, make_engine

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

DEVICE = "cuda"
STEPS = 40  # all stages of every algorithm, most of them replayed as a CUDA graph


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    """Compiled code of one engine counts against the next one's limit."""
    yield
    torch.compiler.reset()


@pytest.fixture
def the_cpus_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn comes from CPU generators of the same seeds: a GPU's give other numbers."""
    twins: dict[int, tuple[Generator, Generator]] = {}  # the first is kept, and with it its id

    def twin(generator: Generator) -> Generator:
        fresh = Generator().manual_seed(generator.initial_seed())
        return twins.setdefault(id(generator), (generator, fresh))[1]

    def on_the_cpu(drawer: Callable[..., Any]) -> Callable[..., Any]:
        def draw(what: Any, generators: Sequence[Generator], shape: tuple[int, ...]) -> Any:
            drawn = drawer(what, [twin(generator) for generator in generators], shape)
            device = generators[0].device
            if isinstance(drawn, Tensor):
                return drawn.to(device)
            return {name: noise.to(device) for name, noise in drawn.items()}

        return draw

    for module in (engine, acting):
        monkeypatch.setattr(module, "draw", on_the_cpu(streams.draw))
    monkeypatch.setattr(engine, "draw_indices", on_the_cpu(streams.draw_indices))


@pytest.mark.usefixtures("the_cpus_numbers")
@pytest.mark.parametrize("algorithm_id", every_algorithm())
@pytest.mark.parametrize("compiled", [False, True])
def test_updates_are_the_cpus_but_for_rounding(
    algorithm_id: str, compiled: bool, transitions: Transitions
) -> None:
    cpu = make_engine(algorithm_id, transitions, offline_steps=STEPS)
    gpu = make_engine(
        algorithm_id, transitions, offline_steps=STEPS, device=DEVICE, compile=compiled
    )
    cpu.train(STEPS)
    gpu.train(STEPS)
    for slot in (0, 1):
        expected, found = cpu.state(slot), gpu.state(slot)
        assert expected.keys() == found.keys()
        near: dict[str, list[NDArray[np.bool_]]] = defaultdict(list)  # by network
        for name, value in expected.items():
            if name.startswith(("params/", "targets/")):
                network = name.rpartition("/")[0]
                near[network].append(np.ravel(np.abs(found[name] - value) < 2e-4))
        for network, entries in near.items():
            # Where a gradient is nearly zero, or always (a bias that all candidates of a softmax
            # share), Adam's step is as large whatever its sign.
            assert np.concatenate(entries).mean() > 0.95, network
    observations = np.ones((2, 3, OBS_DIM), np.float32)
    actions = gpu.policy("test")(observations)
    assert actions.shape == (2, 3, ACTION_DIM)
    np.testing.assert_allclose(actions, cpu.policy("test")(observations), atol=2e-2)


@pytest.mark.usefixtures("the_cpus_numbers")
def test_the_metrics_are_of_the_latest_update(transitions: Transitions) -> None:
    engine = make_engine("iql", transitions, device=DEVICE)
    cpu = make_engine("iql", transitions)
    for steps in (1, 5, 1, 12):
        engine.train(steps)
        cpu.train(steps)
        for name, values in cpu.metrics().items():
            np.testing.assert_allclose(engine.metrics()[name], values, rtol=1e-2, atol=1e-4)


def test_goes_on_from_a_saved_state_with_the_same_bits(transitions: Transitions) -> None:
    whole = make_engine("df-div", transitions, device=DEVICE, compile=True)
    whole.train(STEPS)
    first = make_engine("df-div", transitions, device=DEVICE, compile=True)
    first.train(17)
    second = make_engine("df-div", transitions, device=DEVICE, compile=True)
    second.load_state([first.state(0), first.state(1)], 17)
    second.train(STEPS)
    for slot in (0, 1):
        expected, found = whole.state(slot), second.state(slot)
        assert all(np.array_equal(expected[name], found[name]) for name in expected)


@pytest.mark.usefixtures("the_cpus_numbers")
def test_learners_that_diverge_are_told_as_on_the_cpu(transitions: Transitions) -> None:
    """The step is counted on the device, also by updates that are replayed."""
    rows = transitions.rows.copy()
    rows[77, OBS_DIM + ACTION_DIM] = 1e30  # a reward whose squared error is infinite
    poisoned = Transitions(rows, OBS_DIM, ACTION_DIM)
    few: dict[str, int] = {"offline_steps": 150, "batch_size": 4}
    cpu = make_engine("td3-bc", poisoned, (0, 1, 2, 3), **few)
    gpu = make_engine("td3-bc", poisoned, (0, 1, 2, 3), device=DEVICE, **few)
    cpu.train(150)
    gpu.train(150)
    assert 0 < len(cpu.diverged()) < 4
    assert gpu.diverged() == cpu.diverged()
