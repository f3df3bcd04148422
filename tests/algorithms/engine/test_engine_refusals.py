"""What the engine refuses, before anything is changed."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms.engine.engine import Engine
from algorithms.registry import resolve_config
from algorithms.transitions import Transitions
from tests.algorithms.small import make_engine, states_equal


def test_refuses_the_state_of_another_algorithm_or_too_few_states(
    transitions: Transitions,
) -> None:
    engine, other = make_engine("bc", transitions), make_engine("td3-bc", transitions)
    before = engine.state(0)
    with pytest.raises(ValueError, match="another algorithm"):
        engine.load_state([other.state(0), other.state(1)], 5)
    with pytest.raises(ValueError, match="2 seeds need as many states, found 1"):
        engine.load_state([engine.state(0)], 5)
    assert engine.step == 0
    assert states_equal(engine.state(0), before)


def test_refuses_the_state_of_a_network_that_would_broadcast(transitions: Transitions) -> None:
    engine = make_engine("bc", transitions)
    narrow = make_engine("bc", transitions, hidden_dims=(1, 1))
    before = engine.state(0)
    with pytest.raises(ValueError, match="another algorithm or config"):
        engine.load_state([narrow.state(0), narrow.state(1)], 5)
    assert states_equal(engine.state(0), before)


@pytest.mark.parametrize("shape", [(2, 4, 1), (3, 4, 3), (2, 3)])
def test_acting_refuses_observations_of_the_wrong_shape(
    shape: tuple[int, ...], transitions: Transitions
) -> None:
    policy = make_engine("bc", transitions).policy("test")
    with pytest.raises(ValueError, match=r"must be \[2, E, 3\]"):
        policy(np.zeros(shape, np.float32))


def test_refuses_an_empty_dataset(transitions: Transitions) -> None:
    empty = Transitions(transitions.rows[:0], transitions.obs_dim, transitions.action_dim)
    with pytest.raises(ValueError, match="no transitions"):
        make_engine("bc", empty)


def test_refuses_a_budget_that_leaves_a_stage_without_a_step(transitions: Transitions) -> None:
    with pytest.raises(ValueError, match="1 steps are too few for stages"):
        make_engine("df-div", transitions, offline_steps=1)


@pytest.mark.parametrize("seeds", [(), (1, 2, 1)])
def test_refuses_no_seeds_and_repeated_seeds(
    seeds: tuple[int, ...], transitions: Transitions
) -> None:
    with pytest.raises(ValueError, match="seeds must be distinct and at least one"):
        make_engine("bc", transitions, seeds)


def test_refuses_the_config_of_another_algorithm(transitions: Transitions) -> None:
    with pytest.raises(TypeError, match="bc needs a BCConfig"):
        Engine("bc", resolve_config("iql", {}), transitions, (0,), offline_steps=1)
