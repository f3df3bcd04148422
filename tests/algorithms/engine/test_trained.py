"""A learner acts from its checkpoint alone as the engine does that trained it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algorithms.engine.preprocessing import Preprocessing
from algorithms.engine.trained import Trained
from algorithms.transitions import Transitions
from tests.algorithms.small import OBS_DIM, every_algorithm, make_engine

CPU = torch.device("cpu")
STEPS = 40


@pytest.mark.parametrize("algorithm_id", every_algorithm())
def test_every_method_acts_without_its_data(algorithm_id: str, transitions: Transitions) -> None:
    """On shifted data, so that the normalisation matters.

    A seed alone, and both in the other order, act as in the stack of two.
    """
    rows = transitions.rows.copy()
    rows[:, :OBS_DIM] = 5 * rows[:, :OBS_DIM] + 3
    data = Transitions(rows, transitions.obs_dim, transitions.action_dim)
    engine = make_engine(algorithm_id, data, offline_steps=STEPS, reward_transform="return-range")
    engine.step = STEPS  # as if trained: what has been learned does not matter here
    saved = engine.preprocessing.state()
    rng = np.random.default_rng(0)
    for seeds in ([1], [1, 0]):
        trained = Trained(
            algorithm_id,
            engine.algorithm.config,
            Preprocessing.of_state(saved, CPU),
            [engine.state(seed) for seed in seeds],
            STEPS,
            offline_steps=STEPS,
        )
        act, expected = trained.policy(trained.noise(seeds, "test")), engine.policy("test")
        for _ in range(3):
            observations = 5 * rng.standard_normal((2, 4, OBS_DIM), dtype=np.float32) + 3
            rewards = rng.standard_normal((2, 4), dtype=np.float32)
            found = act(observations[seeds], rewards[seeds])
            np.testing.assert_array_equal(found, expected(observations, rewards)[seeds])


def test_the_stage_that_trained_last_acts(transitions: Transitions) -> None:
    """QDT acts by the policy of its CQL until its transformer is trained."""
    engine = make_engine("qdt", transitions, offline_steps=STEPS)
    observations, actions = np.ones((2, 3, OBS_DIM), np.float32), []
    for step in (1, STEPS):
        engine.step = step
        trained = Trained(
            "qdt",
            engine.algorithm.config,
            engine.preprocessing,
            [engine.state(0)],
            step,
            offline_steps=STEPS,
        )
        actions.append(trained.policy(trained.noise([0], "test"))(observations[:1]))
        np.testing.assert_array_equal(actions[-1], engine.policy("test")(observations)[:1])
    assert not np.array_equal(*actions)


def test_another_methods_state_is_refused(transitions: Transitions) -> None:
    engine, other = make_engine("bc", transitions), make_engine("iql", transitions)
    with pytest.raises(ValueError, match="of another algorithm or config"):
        Trained(
            "bc",
            engine.algorithm.config,
            engine.preprocessing,
            [other.state(0)],
            STEPS,
            offline_steps=STEPS,
        )
