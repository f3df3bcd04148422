"""What every algorithm in the registry promises."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest

from algorithms import registry
from algorithms.base import Config
from algorithms.engine.engine import Engine
from algorithms.engine.learning_state import SeedState
from algorithms.registry import resolve_config
from algorithms.transitions import Transitions
from tests.algorithms.phases import SEEDS, evaluate, phases
from tests.algorithms.reference import make_algorithm
from tests.algorithms.small import (
    ACTION_DIM,
    OBS_DIM,
    compared_methods,
    every_algorithm,
    make_engine,
    states_equal,
)

REPOSITORY = Path(__file__).resolve().parents[2]
STEPS, SAVED = 80, 70  # saved inside a block of random numbers, and past the last stage's beginning
ONLINE_ONLY = {"sac"}
# What holds a method to the data, where its own setting leaves that to a million steps.
HELD: dict[str, dict[str, float]] = {
    "rebrac": {"actor_penalty": 1.0},
    "plas": {"max_latent": 0.5},
    "tt": {"dropout": 0.0},  # of 16 hidden units a tenth is much
    "qdt": {"value_share": 0.1},
}
PESSIMISTS = {"sac-n", "edac", "mcq"}  # their policy sees the data through the critics alone
# How to act where the own way draws from a Gaussian that so few updates leave wide.
BY_THE_MEAN = {"crr": "noise-0"}
# Pairs of networks that one term of a loss trains on purpose, as an encoder and its decoder.
TRAINED_TOGETHER: dict[str, set[tuple[str, str]]] = {
    "bcq": {("encoder", "decoder")},
    "plas": {("encoder", "decoder")},
    "mcq": {("encoder", "decoder")},
}

algorithms = pytest.mark.parametrize("algorithm_id", every_algorithm())


@algorithms
def test_opens_with_its_provenance_and_deviations(algorithm_id: str) -> None:
    doc = inspect.getmodule(registry.load(algorithm_id)).__doc__  # type: ignore[union-attr]
    assert doc is not None
    assert "Paper: " in doc
    assert "Code: " in doc
    assert "Deviations" in doc


@algorithms
def test_every_config_field_has_a_comment(algorithm_id: str) -> None:
    own, *_ = families = registry.load(algorithm_id).Config.__mro__
    for config in families[: families.index(Config) + 1]:
        source = inspect.getsource(config)
        lines = source.splitlines()
        fields = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.AnnAssign)]
        assert fields or config is not own
        for node in fields:
            assert node.end_lineno is not None
            assert "  # " in lines[node.end_lineno - 1], ast.unparse(node)


@algorithms
def test_refuses_unknown_fields_and_wrong_types(algorithm_id: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="Extra inputs"):
        resolve_config(algorithm_id, {"learning_rat": 1e-3})
    with pytest.raises(pydantic.ValidationError, match="batch_size"):
        resolve_config(algorithm_id, {"batch_size": 0})


@algorithms
def test_each_loss_is_one_number_a_seed(algorithm_id: str) -> None:
    algorithm = make_algorithm(algorithm_id)
    for phase in phases(algorithm):
        found = evaluate(algorithm, phase)
        assert found.loss.shape == (SEEDS,)
        assert all(value.shape == (SEEDS,) for value in found.metrics.values()), found.metrics
        assert all("/" in name for name in found.metrics)


@algorithms
def test_a_loss_reaches_every_parameter_it_trains(algorithm_id: str) -> None:
    algorithm = make_algorithm(algorithm_id)
    for phase in phases(algorithm):
        found = evaluate(algorithm, phase)
        for name in phase.trains:
            for key, gradient in zip(found.trained[name], found.gradient(name), strict=True):
                assert gradient.any(), (name, key)


@algorithms
def test_every_optimizer_and_every_average_has_a_phase(algorithm_id: str) -> None:
    algorithm = make_algorithm(algorithm_id)
    trained = {name for phase in phases(algorithm) for name in phase.trains}
    averaged = {name for phase in phases(algorithm) for name in phase.updates_targets}
    assert trained == set(algorithm.optimizers)
    assert averaged == set(algorithm.targets)


@algorithms
def test_each_term_of_a_loss_trains_one_network(algorithm_id: str) -> None:
    """An actor's term that moves the critic as well is the classical leak."""
    algorithm = make_algorithm(algorithm_id)
    found: set[tuple[str, str]] = set()
    for phase in phases(algorithm):
        found |= evaluate(algorithm, phase).trained_together()
    assert found == TRAINED_TOGETHER.get(algorithm_id, set())


@pytest.mark.parametrize(
    ("algorithm_id", "network", "pair"),
    [
        ("fql", "critic", ("critic", "actor")),
        ("fql", "flow", ("flow", "actor")),
        ("iql", "critic", ("critic", "value")),
        ("iql", "value", ("critic", "value")),
        ("df-div", "critic", ("flow_critic", "critic")),
        ("flow-bptt", "critic", ("policy", "critic")),
    ],
)
def test_a_network_used_with_its_gradient_where_it_should_be_fixed_is_found(
    algorithm_id: str, network: str, pair: tuple[str, str]
) -> None:
    algorithm = make_algorithm(algorithm_id)
    found = [
        evaluate(algorithm, phase, unfrozen=(network,)).trained_together()
        for phase in phases(algorithm)
    ]
    assert pair in set.union(*found)


@algorithms
def test_seeds_do_not_touch_each_other(algorithm_id: str) -> None:
    """The gradient of one seed's loss with respect to another seed's parameters is zero."""
    algorithm = make_algorithm(algorithm_id)
    for phase in phases(algorithm):
        found = evaluate(algorithm, phase)
        for name in phase.trains:
            for gradient in found.gradient(name, slot=0):
                assert not gradient[1].any()


def make(
    algorithm_id: str,
    transitions: Transitions,
    seeds: tuple[int, ...] = (0, 1),
    total_steps: int = STEPS,
    **overrides: Any,
) -> Engine:
    """An engine that learns fast."""
    fields = registry.load(algorithm_id).Config.model_fields
    fast = {name: 0.05 for name in fields if name.endswith("ema")}  # averages that keep up
    fast |= {name: 5e-3 for name in fields if name.endswith("learning_rate")}
    settings = {**fast, **HELD.get(algorithm_id, {}), **overrides}
    return make_engine(algorithm_id, transitions, seeds, total_steps=total_steps, **settings)


@dataclass(frozen=True)
class Life:
    """An engine that has trained to its end, and its seeds' states at `SAVED`."""

    algorithm_id: str
    engine: Engine
    saved: list[SeedState]


@pytest.fixture(scope="module", params=every_algorithm())
def life(request: pytest.FixtureRequest, transitions: Transitions) -> Life:
    engine = make(request.param, transitions, hidden_dims=(32, 32))
    engine.train(SAVED)
    saved = [engine.state(0), engine.state(1)]
    engine.train(STEPS - SAVED)
    return Life(request.param, engine, saved)


def test_learns_a_tiny_dataset(life: Life, transitions: Transitions) -> None:
    """It acts as the data do, far better than any constant action would."""
    assert all(np.isfinite(v).all() for v in life.engine.metrics().values())
    if life.algorithm_id in ONLINE_ONLY:
        pytest.skip("nothing holds it to the data; its own tests say what it learns online")
    if life.algorithm_id in PESSIMISTS:
        pytest.skip("that takes more updates; its own tests say what it learns in them")
    if life.algorithm_id not in compared_methods():
        pytest.skip("an ablation, whose learning is tested where its choice is")
    policy = life.engine.policy("test", BY_THE_MEAN.get(life.algorithm_id))
    actions = policy(np.stack([transitions.observations] * 2))
    errors = np.square(actions - transitions.actions).mean((1, 2))
    assert errors.max() < 0.6 * transitions.actions.var(0).mean()


def test_acts_within_bounds_for_any_number_of_observations(life: Life) -> None:
    for episodes in (1, 5):
        policy = life.engine.policy("test")
        actions = policy(100 * np.ones((2, episodes, OBS_DIM), np.float32))
        assert actions.shape == (2, episodes, ACTION_DIM)
        assert actions.dtype == np.float32
        assert np.abs(actions).max() <= 1


def test_save_load_continue_gives_identical_bits(life: Life, transitions: Transitions) -> None:
    again = make(life.algorithm_id, transitions, hidden_dims=(32, 32))
    again.load_state(life.saved, SAVED)
    again.train(STEPS - SAVED)
    for slot in (0, 1):
        assert states_equal(again.state(slot), life.engine.state(slot))
        assert not states_equal(again.state(slot), life.saved[slot])


@algorithms
def test_a_seed_has_the_same_bits_in_any_slot(algorithm_id: str, transitions: Transitions) -> None:
    """Alone, or first, second or last of a stack; and its neighbours have others."""
    alone, pair, three = (
        make(algorithm_id, transitions, seeds, total_steps=8) for seeds in ((3,), (3, 9), (7, 3, 9))
    )
    for engine in (alone, pair, three):
        engine.train(8)
    assert states_equal(alone.state(0), pair.state(0))
    assert states_equal(alone.state(0), three.state(1))
    assert states_equal(pair.state(1), three.state(2))
    assert not states_equal(pair.state(0), pair.state(1))
    observations = np.ones((3, 4, OBS_DIM), np.float32)
    actions = three.policy("test")(observations)[1]
    assert np.array_equal(actions, alone.policy("test")(observations[:1])[0])


@pytest.mark.slow
def test_compiled_same_seed_same_bits_in_a_second_process_and_any_slot(
    transitions: Transitions, tmp_path: Path
) -> None:
    """Compiled, alone (padded) and as the second of three: the seed they share has equal bits."""
    program = (
        "import sys, numpy as np\n"
        "from algorithms.transitions import Transitions\n"
        "from tests.algorithms.test_contract import compiled_state\n"
        f"data = Transitions(np.load(sys.argv[1]), {OBS_DIM}, {ACTION_DIM})\n"
        "np.savez(sys.argv[2], **compiled_state(data, (3, 4)))\n"
    )
    rows, saved = tmp_path / "rows.npy", tmp_path / "state.npz"
    np.save(rows, transitions.rows)
    alone = compiled_state(transitions, (3,))
    second = [sys.executable, "-c", program, rows, saved]
    with subprocess.Popen(second, cwd=REPOSITORY) as process:
        assert states_equal(alone, compiled_state(transitions, (7, 3, 5)))
    assert process.returncode == 0
    with np.load(saved) as there:
        assert states_equal(alone, dict(there))


def compiled_state(transitions: Transitions, seeds: tuple[int, ...]) -> SeedState:
    """Of seed 3, after compiled updates of two phases."""
    engine = make_engine(
        "td3-bc",
        transitions,
        seeds,
        compile=True,
        hidden_dims=(8,),
        policy_every=1,  # one kind of update to compile
    )
    assert engine.compiled
    engine.train(40)
    return engine.state(seeds.index(3))
