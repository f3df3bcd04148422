"""What every algorithm in the registry promises."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydantic
import pytest
import torch

from algorithms import registry
from algorithms.base import Config, Networks
from algorithms.engine.engine import Engine
from algorithms.engine.transitions import Transitions
from algorithms.registry import resolve_config
from tests.algorithms.small import (
    ACTION_DIM,
    OBS_DIM,
    compared_methods,
    every_algorithm,
    make_engine,
    states_equal,
)

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
def test_acts_within_bounds_for_any_number_of_observations(
    algorithm_id: str, transitions: Transitions
) -> None:
    engine = make_engine(algorithm_id, transitions)
    engine.train(3)
    policy = engine.policy("test")
    for episodes in (1, 5):
        actions = policy(100 * np.ones((2, episodes, OBS_DIM), np.float32))
        assert actions.shape == (2, episodes, ACTION_DIM)
        assert actions.dtype == np.float32
        assert np.abs(actions).max() <= 1


@algorithms
def test_each_loss_is_one_number_a_seed(algorithm_id: str, transitions: Transitions) -> None:
    engine = make_engine(algorithm_id, transitions)
    for stage in engine.algorithm.stages:
        for phase in stage.phases:
            loss, metrics = _loss(engine, phase)
            assert loss.shape == (2,)
            assert all(value.shape == (2,) for value in metrics.values()), metrics
            assert all("/" in name for name in metrics)


@algorithms
def test_a_loss_reaches_exactly_the_networks_it_trains(
    algorithm_id: str, transitions: Transitions
) -> None:
    """Each network's gradient alone: non-zero where trained, and nothing leaks elsewhere."""
    engine = make_engine(algorithm_id, transitions)
    trained_somewhere = set()
    for stage in engine.algorithm.stages:
        for phase in stage.phases:
            trained_somewhere |= set(phase.trains)
            params = {
                name: {k: v.clone().requires_grad_() for k, v in group.items()}
                for name, group in engine._state.params.items()
            }
            loss, _ = _loss(engine, phase, params)
            loss.sum().backward()
            for name in phase.trains:
                for key, value in params[name].items():
                    assert value.grad is not None, (name, key)
                    assert value.grad.abs().sum() > 0, (name, key)
    assert trained_somewhere == set(engine.algorithm.optimizers)


@algorithms
def test_seeds_do_not_touch_each_other(algorithm_id: str, transitions: Transitions) -> None:
    """The gradient of one seed's loss with respect to another seed's parameters is zero."""
    engine = make_engine(algorithm_id, transitions)
    for stage in engine.algorithm.stages:
        for phase in stage.phases:
            params = {
                name: {k: v.clone().requires_grad_() for k, v in group.items()}
                for name, group in engine._state.params.items()
            }
            loss, _ = _loss(engine, phase, params)
            loss[0].backward()
            for name in phase.trains:
                for value in params[name].values():
                    assert value.grad is not None
                    assert value.grad[1].abs().sum() == 0


@pytest.mark.parametrize("algorithm_id", [name for name in compared_methods() if name != "sac"])
def test_learns_a_tiny_dataset(algorithm_id: str, transitions: Transitions) -> None:
    """Actions on the data's observations end nearer to the data's than they began.

    SAC has nothing that holds it to the data; what it learns online is in its own tests.
    """
    fields = registry.load(algorithm_id).Config.model_fields
    fast = {name: 0.02 for name in fields if name.endswith("ema")}  # averages that keep up
    engine = make_engine(algorithm_id, transitions, total_steps=600, hidden_dims=(32, 32), **fast)

    def action_error() -> float:
        observations = np.stack([transitions.observations[:128]] * 2)
        actions = engine.policy("test")(observations)
        return float(np.square(actions - transitions.actions[:128]).mean())

    before = action_error()
    engine.train(600)
    assert action_error() < 0.7 * before
    assert all(np.isfinite(v).all() for v in engine.metrics().values())


@algorithms
def test_save_load_continue_gives_identical_bits(
    algorithm_id: str, transitions: Transitions
) -> None:
    straight = make_engine(algorithm_id, transitions)
    straight.train(40)
    first = make_engine(algorithm_id, transitions)
    first.train(37)  # inside a block of random numbers, and past the last stage's beginning
    second = make_engine(algorithm_id, transitions)
    second.load_state([first.state(0), first.state(1)], first.step)
    second.train(3)
    for slot in (0, 1):
        assert states_equal(straight.state(slot), second.state(slot))


@algorithms
def test_a_seed_has_the_same_bits_in_any_slot(algorithm_id: str, transitions: Transitions) -> None:
    stacked = make_engine(algorithm_id, transitions, (7, 3, 5))
    other = make_engine(algorithm_id, transitions, (3, 9))
    alone = make_engine(algorithm_id, transitions, (3,))
    for engine in (stacked, other, alone):
        engine.train(40)
    assert states_equal(stacked.state(1), other.state(0))
    assert states_equal(stacked.state(1), alone.state(0))
    observations = np.ones((3, 4, OBS_DIM), np.float32)
    actions = stacked.policy("test")(observations)[1]
    assert np.array_equal(actions, alone.policy("test")(observations[:1])[0])


@algorithms
def test_different_seeds_differ(algorithm_id: str, transitions: Transitions) -> None:
    engine = make_engine(algorithm_id, transitions)
    engine.train(1)
    assert not states_equal(engine.state(0), engine.state(1))


def test_compiled_same_seed_same_bits_in_a_second_process_and_any_slot(
    transitions: Transitions, tmp_path: Path
) -> None:
    """Compiled, alone (padded) and as the second of three: the seed they share has equal bits."""
    engines = [
        make_engine("td3-bc", transitions, seeds, compile=True) for seeds in ((3,), (7, 3, 5))
    ]
    for engine in engines:
        engine.train(40)
    first, second = (e.state(e.seeds.index(3)) for e in engines)
    assert states_equal(first, second)
    np.savez(tmp_path / "state.npz", **first)
    code = (
        "import sys, numpy as np\n"
        "from algorithms.engine.transitions import Transitions\n"
        "from tests.algorithms.small import make_engine\n"
        "rows = np.load(sys.argv[2])\n"
        f"e = make_engine(sys.argv[1], Transitions(rows, {OBS_DIM}, {ACTION_DIM}), (3, 4),"
        " compile=True)\n"
        "e.train(40); here = e.state(0); there = np.load(sys.argv[3])\n"
        "sys.exit(0 if all(np.array_equal(here[k], there[k]) for k in there.files) else 1)\n"
    )
    np.save(tmp_path / "rows.npy", transitions.rows)
    arguments = ["td3-bc", str(tmp_path / "rows.npy"), str(tmp_path / "state.npz")]
    assert subprocess.run([sys.executable, "-c", code, *arguments], check=False).returncode == 0


def _loss(
    engine: Engine, phase: object, params: dict[str, dict[str, torch.Tensor]] | None = None
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A phase's loss on one batch; trained networks get `params`, all others the engine's."""
    engine._draw_block()
    batch = engine._batches.gather(engine._indices[0])
    noise = {name: values[0] for name, values in engine._noise.items()}
    trains = phase.trains  # type: ignore[attr-defined]
    given = {**engine._state.params, **({k: params[k] for k in trains} if params else {})}
    nets = Networks(engine.algorithm.networks, given, engine._state.params, engine._state.targets)
    loss, metrics = phase.loss(nets, batch, noise)  # type: ignore[attr-defined]
    return loss, metrics
