"""A task's closed-form Q in the place of the learned critic."""

from __future__ import annotations

import numpy as np
import pytest

from algorithms.transitions import Transitions
from tests.algorithms.flow_reference import QuadraticQ
from tests.algorithms.reference import make_algorithm, record
from tests.algorithms.small import compared_methods, make_engine, states_equal

GOAL = (0.6, -0.5)
CRITICS = [
    algorithm_id
    for algorithm_id in (*compared_methods(), "df-div-joint", "df-div-actor-critic")
    if "critic" in make_algorithm(algorithm_id).networks
]


@pytest.mark.parametrize("algorithm_id", CRITICS)
def test_it_is_never_trained_and_everything_else_is(
    algorithm_id: str, transitions: Transitions
) -> None:
    engine = make_engine(algorithm_id, transitions, known_q=QuadraticQ(GOAL))
    start = engine.state(0)
    engine.train(40)
    end = engine.state(0)
    assert "updates/critic" not in end
    assert not any(key.startswith("adam_means/critic/") for key in end)
    kept = [end[key] for key in end if key.endswith("/critic/goal")]
    assert "params/critic/goal" in end
    assert all(np.array_equal(goal, np.float32(GOAL).reshape(1, 1, 2)) for goal in kept)
    for name in engine.algorithm.optimizers:
        own = [key for key in start if key.startswith(f"params/{name}/")]
        assert not all(np.array_equal(start[key], end[key]) for key in own), name
    assert all(np.isfinite(value).all() for value in engine.metrics().values())


def test_losses_see_its_values(transitions: Transitions) -> None:
    engine = make_engine("df-div", transitions, known_q=QuadraticQ(GOAL))
    seen = record(engine)
    engine.train(1)
    batch, _ = seen[0]
    values = -np.square(batch.actions.numpy() - np.array(GOAL)).sum(-1)
    np.testing.assert_allclose(engine.metrics()["critic/mean"], values.mean(1), rtol=1e-5)


@pytest.mark.parametrize(
    "algorithm_id",
    ["df-dir", "df-div", "df-div-joint", "df-div-actor-critic", "df-div-best-target", "flow-bptt"],
)
def test_with_the_true_q_the_policy_moves_from_the_data_to_better_actions(
    algorithm_id: str, transitions: Transitions
) -> None:
    engine = make_engine(
        algorithm_id,
        transitions,
        offline_steps=160,
        known_q=QuadraticQ(GOAL),
        pretrain_share=0.5,
        behavior_ema=0.05,
        policy_ema=0.05,
        policy_learning_rate=1e-2,
        flow_steps=2,
    )
    observations = np.stack([transitions.observations[:128]] * 2)
    distances = []
    for _ in range(2):
        engine.train(80)
        actions = engine.policy("test")(observations)
        distances.append(np.square(actions - np.array(GOAL)).sum(-1).mean(-1))
    assert (distances[1] < 0.7 * distances[0]).all()


def test_a_run_with_it_resumes_bit_for_bit(transitions: Transitions) -> None:
    straight, first, second = (
        make_engine("df-dir", transitions, known_q=QuadraticQ(GOAL)) for _ in range(3)
    )
    straight.train(40)
    first.train(35)
    second.load_state([first.state(0), first.state(1)], first.step)
    second.train(5)
    for slot in (0, 1):
        assert states_equal(straight.state(slot), second.state(slot))


@pytest.mark.parametrize("algorithm_id", ["bc", "flow-bc"])
def test_a_method_without_a_critic_refuses_it(algorithm_id: str, transitions: Transitions) -> None:
    with pytest.raises(ValueError, match="a method with a critic"):
        make_engine(algorithm_id, transitions, known_q=QuadraticQ(GOAL))


def test_a_task_without_one_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a task with a closed-form Q"):
        make_algorithm("df-dir", known_q=True, normalize_observations=False)


@pytest.mark.parametrize(
    "normalisation",
    [{"normalize_observations": True}, {"reward_transform": "mean-return"}],
    ids=str,
)
def test_it_is_a_function_of_what_the_data_hold_unnormalised(
    normalisation: dict[str, bool], transitions: Transitions
) -> None:
    with pytest.raises(ValueError, match=f"set {next(iter(normalisation))} to (false|raw)"):
        make_engine("iql", transitions, known_q=QuadraticQ(GOAL), **normalisation)
