"""The Q that algorithms are given: the environment's reward, or wrong by exactly what was asked."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from algorithms.networks import Network
from harness.tasks import get_task, known_q, make_environment
from harness.tasks.multimodal_geometry import ActionModes, observations_of, turned

Arrays = tuple[np.ndarray, np.ndarray]


def q_of(task_id: str, inputs: Arrays, **options: float) -> np.ndarray:
    """The known Q of observations [N, 2] and actions [N, d], by two seeds' equal networks."""
    network = known_q(get_task(task_id, options))
    assert network is not None
    q: Tensor = network(
        params_of(network), *(torch.from_numpy(x).expand(2, -1, -1) for x in inputs)
    )
    assert q.shape == (2, 2, len(inputs[0]))
    np.testing.assert_array_equal(q[0, 0], q[1, 1])
    return q[0, 0].numpy().astype(np.float64)


def params_of(network: Network) -> dict[str, Tensor]:
    params = network.init(torch.Generator())
    return {name: torch.stack([value, value]) for name, value in params.items()}


def behaviour(task_id: str, count: int = 20_000) -> Arrays:
    problem, rng = ActionModes.of(get_task(task_id)), np.random.default_rng(7)
    observations = observations_of(rng.uniform(0, problem.turn, count))
    actions = turned(observations, problem.sample(count, rng))
    return observations, actions.astype(np.float32)


@pytest.mark.parametrize("task_id", ["multimodal/modes-8-dim-2", "multimodal/modes-4-dim-8"])
def test_it_is_the_environments_reward(task_id: str) -> None:
    env = make_environment(get_task(task_id))
    dim = env.action_space.shape[0]  # type: ignore[index]
    rng = np.random.default_rng(0)
    observations, actions, rewards = [], [], []
    for seed in range(200):
        observations.append(env.reset(seed=seed)[0])
        actions.append(rng.uniform(-1, 1, dim).astype(np.float32) * (1.0 if seed % 2 else 0.6))
        rewards.append(env.step(actions[-1])[1])
    found = q_of(task_id, (np.array(observations), np.array(actions, np.float32)))
    np.testing.assert_allclose(found, rewards, atol=1e-6)


@pytest.mark.parametrize("task_id", ["multimodal/modes-8-dim-2", "multimodal/modes-4-dim-8"])
def test_noise_has_the_stated_standard_deviation_on_the_data(task_id: str) -> None:
    inputs = behaviour(task_id)
    exact = q_of(task_id, inputs)
    error = q_of(task_id, inputs, q_noise=0.5) - exact
    assert error.std() == pytest.approx(0.5 * exact.std(), rel=0.05)
    again = q_of(task_id, inputs, q_noise=0.5) - exact
    np.testing.assert_array_equal(error, again)
    other = q_of(task_id, inputs, q_noise=0.5, data_seed=1) - exact
    assert abs(np.corrcoef(error, other)[0, 1]) < 0.3


def test_noise_is_smooth_at_the_scale_of_a_mode_and_no_larger() -> None:
    task_id = "multimodal/modes-8-dim-2"
    sigma = ActionModes.of(get_task(task_id)).sigma
    observations, actions = behaviour(task_id)

    def noise(shift: float) -> np.ndarray:
        inputs = observations, actions + np.float32([shift, 0.0])
        return q_of(task_id, inputs, q_noise=1) - q_of(task_id, inputs)

    here = noise(0)
    assert np.corrcoef(here, noise(0.5 * sigma))[0, 1] > 0.9
    assert np.corrcoef(here, noise(2 * sigma))[0, 1] == pytest.approx(math.exp(-0.5), abs=0.2)
    assert abs(np.corrcoef(here, noise(10 * sigma))[0, 1]) < 0.4


def test_bias_is_nothing_in_the_support_and_grows_outside_by_support_radii() -> None:
    task_id = "multimodal/modes-8-dim-2"
    problem = ActionModes.of(get_task(task_id))
    radius = problem.support_radius * problem.sigma
    outwards = problem.centres[0] / np.linalg.norm(problem.centres[0])
    distances = np.array([0.0, 0.5, 1.0, 1.5, 3.0])
    canonical = problem.centres[0] + distances[:, None] * radius * outwards
    observations = observations_of(np.zeros(5))
    inputs = observations, canonical.astype(np.float32)
    exact_sd = q_of(task_id, behaviour(task_id)).std()
    added = q_of(task_id, inputs, q_bias=2) - q_of(task_id, inputs)
    np.testing.assert_allclose(added, 2 * exact_sd * np.array([0, 0, 0, 0.5, 2]), atol=0.02)


@pytest.mark.parametrize("options", [{}, {"q_noise": 1, "q_bias": 1}])
def test_gradients_are_finite_at_a_centre_and_far_away(options: dict[str, float]) -> None:
    task = get_task("multimodal/modes-4-dim-8", options)
    network = known_q(task)
    assert network is not None
    centres = ActionModes.of(task).centres
    points = torch.tensor(np.stack([centres[0], np.ones(8)]), dtype=torch.float32)
    actions = points.expand(2, 2, 8).clone().requires_grad_()
    network(params_of(network), torch.tensor([1.0, 0.0]).expand(2, 2, 2), actions).sum().backward()
    assert actions.grad is not None
    assert actions.grad.isfinite().all()


def test_a_wrong_q_leaves_the_environment_as_it_is() -> None:
    plain = get_task("multimodal/modes-8-dim-2")
    wrong = get_task("multimodal/modes-8-dim-2", {"q_noise": 3, "q_bias": 3})
    rewards = []
    for task in (plain, wrong):
        env = make_environment(task)
        env.reset(seed=0)
        rewards.append(env.step(np.array([0.3, -0.4], np.float32))[1])
    assert rewards[0] == rewards[1]
    assert wrong.environment.kwargs == plain.environment.kwargs


def test_tasks_without_a_closed_form_have_none() -> None:
    assert known_q(get_task("pointmaze/umaze")) is None
