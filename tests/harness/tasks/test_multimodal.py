"""Multimodal tasks: the formulas against sampling, numerical integration and SciPy."""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import chi2, multivariate_normal

from harness.errors import UserError
from harness.rollouts.evaluation import Evaluator
from harness.tasks import get_task, make_environment, task_of_dataset, words
from harness.tasks.multimodal import FAMILY
from harness.tasks.multimodal_geometry import (
    MARGIN,
    ActionModes,
    chi_square_quantile,
    observations_of,
    turned,
    turned_back,
)

Floats = NDArray[np.float64]
SHAPES = [(1, 2), (2, 2), (8, 2), (16, 2), (3, 3), (1, 8), (4, 8), (16, 8), (12, 24)]


def modes_of(modes: int, dim: int) -> ActionModes:
    return ActionModes.of(get_task(f"multimodal/modes-{modes}-dim-{dim}"))


@pytest.mark.parametrize(("modes", "dim"), SHAPES)
def test_nearest_centres_are_as_far_apart_as_the_option_says(modes: int, dim: int) -> None:
    task = get_task(f"multimodal/modes-{modes}-dim-{dim}", {"separation": 4.5})
    problem = ActionModes.of(task)
    assert problem.centres.shape == (modes, dim)
    between = [math.dist(a, b) for a, b in itertools.combinations(problem.centres, 2)]
    if modes > 1:
        assert min(between) / (problem.sigma * math.sqrt(dim)) == pytest.approx(4.5)


@pytest.mark.parametrize(("modes", "dim"), SHAPES)
def test_every_centre_has_room_for_its_mode_at_every_angle(modes: int, dim: int) -> None:
    problem = modes_of(modes, dim)
    reach = max(np.hypot(*problem.centres[:, :2].T).max(), np.abs(problem.centres).max())
    assert reach + MARGIN * problem.sigma == pytest.approx(1.0)


def test_in_eight_dimensions_all_nearest_centres_are_equally_far() -> None:
    for modes in (2, 4, 8, 16):
        centres = modes_of(modes, 8).centres
        distances = np.linalg.norm(centres[:, None] - centres, axis=-1)
        np.fill_diagonal(distances, np.inf)
        np.testing.assert_allclose(distances.min(1), distances.min())


def test_density_is_the_mixture_of_scipys_normals_and_integrates_to_one() -> None:
    problem = modes_of(8, 2)
    ticks = (np.arange(400) + 0.5) / 400 * 2.4 - 1.2
    grid = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)
    density = np.exp(problem.log_density(grid))
    normals = [multivariate_normal(mean, problem.sigma**2) for mean in problem.centres]
    np.testing.assert_allclose(density, np.mean([n.pdf(grid) for n in normals], 0), atol=1e-12)
    assert density.sum() * (2.4 / 400) ** 2 == pytest.approx(1.0, abs=1e-4)


def test_density_in_eight_dimensions_integrates_to_one_by_importance_sampling() -> None:
    problem, rng = modes_of(4, 8), np.random.default_rng(0)
    chosen = problem.centres[rng.integers(4, size=40_000)]
    wide = [multivariate_normal(mean, (1.3 * problem.sigma) ** 2) for mean in problem.centres]
    points = chosen + 1.3 * problem.sigma * rng.standard_normal((40_000, 8))
    weights = np.exp(problem.log_density(points)) / np.mean([w.pdf(points) for w in wide], 0)
    assert weights.mean() == pytest.approx(1.0, abs=4 * weights.std() / 200)


@pytest.mark.parametrize(("modes", "dim"), [(8, 2), (4, 8)])
def test_samples_have_the_mixtures_moments_reward_and_support(modes: int, dim: int) -> None:
    problem = modes_of(modes, dim)
    points = problem.sample(100_000, np.random.default_rng(1))
    centre = problem.centres.mean(0)
    covariance = np.cov(problem.centres.T, bias=True) + problem.sigma**2 * np.eye(dim)
    np.testing.assert_allclose(points.mean(0), centre, atol=0.01)
    np.testing.assert_allclose(np.cov(points.T), covariance, atol=0.005)
    assert problem.in_support(points).mean() == pytest.approx(0.99, abs=0.0015)
    # E exp(-|z|^2 / 2d) of a standard normal z; the modes hardly overlap.
    expected = problem.rewards.mean() * (1 + 1 / dim) ** (-dim / 2)
    assert problem.value(points).mean() == pytest.approx(expected, abs=0.004)


def test_the_chi_square_quantile_is_scipys() -> None:
    for degrees, share in itertools.product((2, 3, 8, 64), (0.5, 0.99)):
        assert chi_square_quantile(share, degrees) == pytest.approx(chi2.ppf(share, degrees))


def test_q_is_highest_at_the_best_centre_and_each_centre_has_its_reward() -> None:
    problem = ActionModes.of(get_task("multimodal/modes-8-dim-2", {"reward_gap": 0.7}))
    np.testing.assert_allclose(problem.value(problem.centres), np.linspace(0.3, 1.0, 8), rtol=1e-6)
    anywhere = np.random.default_rng(0).uniform(-1, 1, (50_000, 2))
    assert problem.value(anywhere).max() < 1.0
    midpoint = (problem.centres[6] + problem.centres[7])[None] / 2
    assert problem.value(midpoint)[0] < 0.02


def test_contexts_turn_actions_by_their_angle_and_back() -> None:
    rng = np.random.default_rng(0)
    angles, canonical = rng.uniform(0, 2 * math.pi, 100), rng.uniform(-0.7, 0.7, (100, 4))
    observations = observations_of(angles)
    actions = turned(observations, canonical)
    expected = (canonical[:, 0] + 1j * canonical[:, 1]) * np.exp(1j * angles)
    np.testing.assert_allclose(actions[:, 0] + 1j * actions[:, 1], expected, atol=1e-6)
    np.testing.assert_array_equal(actions[:, 2:], canonical[:, 2:])
    back = turned_back(observations, actions.astype(np.float32))
    np.testing.assert_allclose(back, canonical, atol=1e-6)


@pytest.mark.parametrize("task_id", ["multimodal/modes-8-dim-2", "multimodal/modes-4-dim-8"])
def test_a_policy_that_acts_by_a_centre_scores_exactly_its_reward(task_id: str) -> None:
    task = get_task(task_id)
    problem = ActionModes.of(task)
    evaluator = Evaluator(task, seeds=[0, 1], episodes=8)
    for index in (0, problem.modes - 1):

        def policy(
            observations: NDArray[np.float32], rewards: NDArray[np.float32], index: int = index
        ) -> NDArray[np.float32]:
            flat = observations.reshape(-1, 2)
            canonical = np.tile(problem.centres[index], (len(flat), 1))
            actions = turned(flat, canonical).astype(np.float32)
            return actions.reshape(*observations.shape[:2], -1)

        for episode in evaluator.evaluate(policy).episodes:
            assert episode.episode_return == pytest.approx(problem.rewards[index], abs=1e-6)
            assert (episode.length, episode.terminated, episode.success) == (1, True, 1.0)
            found = [episode.measures[f"canonical_{axis}"] for axis in range(problem.dim)]
            np.testing.assert_allclose(found, problem.centres[index], atol=1e-5)
    assert task.normalized_score(1.0) == 100.0


def test_the_same_canonical_action_has_the_same_reward_in_every_context() -> None:
    env = make_environment(get_task("multimodal/modes-4-dim-8"))
    canonical = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 8))
    rewards, seen = [], []
    for seed in range(20):
        observation, _ = env.reset(seed=seed)
        seen.append(observation)
        rewards.append(env.step(turned(observation[None], canonical)[0].astype(np.float32))[1])
    np.testing.assert_allclose(rewards, rewards[0], rtol=1e-4)
    angles = np.arctan2(*np.array(seen).T[::-1])
    assert 0 <= angles.min() < 0.1 < 0.3 < angles.max() < math.pi / 8  # a quarter of 2 pi / 4


def test_actions_beyond_the_limits_count_as_the_limits() -> None:
    env = make_environment(get_task("multimodal/modes-8-dim-2"))
    results = []
    for scale in (1.0, 3.0):
        env.reset(seed=0)
        results.append(env.step(np.full(2, scale, np.float32))[1])
    assert results[0] == results[1]


def test_an_evaluation_of_five_seeds_and_500_episodes_is_quick() -> None:
    task = get_task("multimodal/modes-16-dim-8")
    make_environment(task).close()  # imports
    begun = time.process_time()
    evaluator = Evaluator(task, seeds=range(5), episodes=500)
    evaluator.evaluate(lambda seen, rewards: np.zeros((*seen.shape[:2], 8), np.float32))
    assert time.process_time() - begun < 2.0  # 0.5 s where it was written


def test_an_id_spells_out_whatever_is_not_default() -> None:
    options = {"separation": 4, "reward_gap": 0.25, "q_noise": 1, "q_bias": 0.5}
    task = get_task("multimodal/modes-8-dim-2", options)
    assert task.id == "multimodal/modes-8-dim-2-separation-4-gap-0.25-noise-1-bias-0.5"
    assert get_task(task.id) == task
    assert "1 of a smooth random function" in words.semantics(task)
    assert get_task("multimodal/modes-3-dim-5").id not in FAMILY.task_ids()


def test_what_changes_the_data_changes_their_id_and_a_wrong_q_does_not() -> None:
    plain = get_task("multimodal/modes-8-dim-2")
    assert plain.dataset.id == "multimodal/modes-8-dim-2-v0"
    wrong = get_task("multimodal/modes-8-dim-2", {"q_noise": 1, "q_bias": 2})
    assert wrong.dataset == plain.dataset
    ids = {
        get_task(task_id, options).dataset.id
        for task_id in ("multimodal/modes-8-dim-2", "multimodal/modes-4-dim-2")
        for options in (
            {},
            {"separation": 4},
            {"reward_gap": 0.25},
            {"transitions": 200},
            {"data_seed": 1},
        )
    }
    assert len(ids) == 10
    for dataset_id in ids:
        found = task_of_dataset(dataset_id)
        assert found is not None
        assert found.dataset.id == dataset_id


@pytest.mark.parametrize(
    "dataset_id", ["multimodal/modes-8-v0", "multimodal/modes-8-dim-2-noise-1-v0"]
)
def test_other_ids_are_nobodys_dataset(dataset_id: str) -> None:
    assert task_of_dataset(dataset_id) is None


@pytest.mark.parametrize(
    ("task_id", "options", "complaint"),
    [
        ("multimodal/modes-8-dim-1", {}, "2 to 64 dimensions"),
        ("multimodal/modes-65-dim-2", {}, "1 to 64 modes"),
        ("multimodal/modes-9-dim-3", {}, "3 dimensions have room for 8 modes"),
        ("multimodal/modes-8-dim-2", {"gap": 1}, "no option 'gap'; it takes separation, reward_g"),
        ("multimodal/modes-8-dim-2", {"reward_gap": 1.5}, "'reward_gap' .* from 0 to 1 .*1.5"),
        ("multimodal/modes-8-dim-2", {"separation": 0.125}, "from 1 to 100"),
        ("multimodal/modes-8-dim-2", {"q_noise": 0.125}, "two decimals, found 0.125"),
        ("multimodal/modes-8-dim-2", {"q_bias": "much"}, "found 'much'"),
        ("multimodal/modes-8-dim-2", {"q_bias": True}, "found True"),
        ("multimodal/modes-8-dim-2", {"transitions": 0}, "'transitions' must be a whole number"),
        ("multimodal/modes-8", {}, "There is no task 'multimodal/modes-8'"),
    ],
)
def test_impossible_tasks_are_refused(task_id: str, options: object, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        get_task(task_id, options)  # type: ignore[arg-type]
